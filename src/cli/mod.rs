//! The command line. Every command but `serve` speaks to a server's API: to the one named by
//! `--url`, to the one that works in the data folder, or, when none does, to one that is started in
//! this process for as long as the command takes. So there is one way to do each thing.

mod activity;
mod address;
mod apply;
mod apps;
mod artifacts;
mod audit;
mod client;
mod completions;
mod configs;
mod connect;
mod download;
mod errors;
mod export;
mod host;
mod keys;
mod log;
mod output;
mod own;
mod recover;
mod restores;
mod run_log;
mod runs;
mod serve;
mod settings;
mod signals;
mod system;
mod tokens;
mod typed;
mod users;
mod watch;
mod webhooks;

use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use holdfast::config::{DataArgs, ServeArgs};

use self::{connect::Connection, output::Format};

/// Backs up and restores what lives in Docker containers.
///
/// Exit codes: 0 good; 1 the command or its backup failed; 2 wrong usage; 3 the server or the data
/// folder cannot be reached; 4 `apply --dry-run` would change something; 130 and 143 ended by a signal.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub data: DataArgs,

    #[command(flatten)]
    pub to: ServerArgs,

    /// How results are printed
    #[arg(
        long,
        global = true,
        default_value = "table",
        value_name = "FORMAT",
        help_heading = "Everywhere"
    )]
    pub output: Format,

    #[command(subcommand)]
    pub command: Command,
}

/// Which server a command speaks to.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// A server's address, as in `http://127.0.0.1:7700`, its token in HOLDFAST_TOKEN; else that of
    /// `~/.config/holdfast/client.toml`; else the one in the data folder
    #[arg(long, global = true, env = "HOLDFAST_URL", help_heading = "Everywhere")]
    pub url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Make the server have what a document declares: apps, configs, webhooks, users
    Apply(apply::ApplyArgs),
    /// Print what the server has as a document for `apply`
    Export,
    /// Apps: compose projects that are looked after
    #[command(subcommand, visible_alias = "app")]
    Apps(apps::AppCommand),
    /// Configs: what is backed up, where to, and when
    #[command(subcommand, visible_alias = "config")]
    Configs(configs::ConfigCommand),
    /// Back up an app or a config now
    Backup(runs::BackupArgs),
    /// Runs: list them, look at one, follow its log, cancel it
    Runs(runs::RunsArgs),
    /// Read the backup of a run again, and judge it as a restore would
    Verify(runs::VerifyArgs),
    /// Fetch the backup of a run, as it is stored
    Download(download::DownloadArgs),
    /// Make a copy of a run's backup in a further target now, or anew where it was found damaged
    Copy(runs::CopyArgs),
    /// Restore what a run stored
    Restore(restores::RestoreArgs),
    /// Restores: list them, look at one, cancel it, take it back
    Restores(restores::RestoresArgs),
    /// Take a restore back
    Undo(restores::UndoArgs),
    /// What happened, newest first
    Activity(activity::ActivityArgs),
    /// What lies in the targets, beside what the log says
    #[command(subcommand)]
    Artifacts(artifacts::ArtifactCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Empty the read models and fill them again from the log
    Rebuild,
    /// Look at everything that Holdfast needs from its surroundings
    Doctor,
    /// The server's own database: back it up, bring it back
    #[command(subcommand)]
    System(own::SystemCommand),
    /// Keys for the encryption of backups
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Bring the database back from a target, into an empty data folder
    Recover(recover::RecoverArgs),
    /// Users
    #[command(subcommand, visible_alias = "user")]
    Users(users::UserCommand),
    /// Bearer tokens for programs
    #[command(subcommand, visible_alias = "token")]
    Tokens(tokens::TokenCommand),
    /// Who is told outside, by webhook, chat or mail
    #[command(subcommand)]
    Webhooks(webhooks::WebhookCommand),
    /// Print the OpenAPI document
    Openapi,
    /// Print what a shell needs to complete commands
    Completions(completions::CompletionsArgs),
}

/// Runs the command; the process ends with what is answered.
pub fn main() -> ExitCode {
    let told = Cli::command().get_matches();
    let usual = Some(ValueSource::DefaultValue);
    let named = told.value_source("data_dir") != usual;
    let cli = Cli::from_arg_matches(&told).unwrap_or_else(|error| error.exit());
    // What is written is for the owner alone, whatever folder it is written to.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    log::start(match &cli.command {
        Command::Serve(args) => Some(args.log_format),
        _ => None,
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return errors::report(&error.into()),
    };
    match runtime.block_on(run(cli, named)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => errors::report(&error),
    }
}

/// `named`: the data folder was.
async fn run(cli: Cli, named: bool) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => return serve::run(&cli.data, &args).await,
        Command::System(own::SystemCommand::Restore(args)) => {
            return own::restore(&args, &cli.data, &cli.to, cli.output).await;
        }
        Command::System(own::SystemCommand::RotateKey) => {
            return own::rotate(&cli.data, &cli.to, cli.output).await;
        }
        Command::Recover(args) => return recover::run(args, &cli.data, cli.output).await,
        Command::Openapi => return output::text(&holdfast::web::api::document()),
        Command::Key(command) => return keys::run(&command, cli.output),
        Command::Completions(args) => return completions::run(&args),
        Command::Audit(audit::AuditCommand::Verify(args)) if args.is_offline() => {
            return audit::verify_offline(&args, cli.output).await;
        }
        _ => {}
    }
    let works = match &cli.command {
        Command::Backup(_)
        | Command::Verify(_)
        | Command::Copy(_)
        | Command::Restore(_)
        | Command::Undo(_)
        | Command::System(own::SystemCommand::Backup { .. }) => true,
        Command::Runs(args) => args.works(),
        Command::Restores(args) => args.works(),
        _ => false,
    };
    let connection = Connection::open(&cli.data, named, &cli.to, works).await?;
    let done = tokio::select! {
        done = perform(cli.command, &connection, cli.output) => done,
        code = signals::first() => Err(errors::Ended(code).into()),
    };
    connection.close().await;
    done
}

async fn perform(command: Command, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        Command::Apply(args) => apply::run(args, to, format).await,
        Command::Export => export::run(to, format).await,
        Command::Apps(command) => apps::run(command, to, format).await,
        Command::Configs(command) => configs::run(command, to, format).await,
        Command::Backup(args) => runs::backup(args, to, format).await,
        Command::Runs(args) => runs::run(args, to, format).await,
        Command::Verify(args) => runs::verify(args, to, format).await,
        Command::Download(args) => download::run(args, to).await,
        Command::Copy(args) => runs::copy(args, to, format).await,
        Command::Artifacts(command) => artifacts::run(command, to, format).await,
        Command::Restore(args) => restores::restore(args, to, format).await,
        Command::Restores(args) => restores::run(args, to, format).await,
        Command::Undo(args) => restores::undo(args, to, format).await,
        Command::Activity(args) => activity::run(args, to, format).await,
        Command::Audit(command) => audit::run(command, to, format).await,
        Command::Rebuild => system::rebuild(to, format).await,
        Command::Doctor => system::doctor(to, format).await,
        Command::System(command) => own::run(command, to, format).await,
        Command::Users(command) => users::run(command, to, format).await,
        Command::Tokens(command) => tokens::run(command, to, format).await,
        Command::Webhooks(command) => webhooks::run(command, to, format).await,
        Command::Serve(_)
        | Command::Recover(_)
        | Command::Openapi
        | Command::Completions(_)
        | Command::Key(_) => Ok(()),
    }
}
