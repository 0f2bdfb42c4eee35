//! The command line. Every command but `serve` speaks to a server's API: to the one named by
//! `--url`, to the one that works in the data folder, or, when none does, to one that is started in
//! this process for as long as the command takes. So there is one way to do each thing.

mod apps;
mod client;
mod configs;
mod connect;
mod errors;
mod host;
mod keys;
mod log;
mod output;
mod own;
mod recover;
mod restores;
mod runs;
mod serve;
mod signals;
mod system;
mod tokens;
mod typed;
mod users;
mod watch;
mod webhooks;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use holdfast::config::{DataArgs, ServeArgs};

use self::{connect::Connection, output::Format};

/// Backs up and restores what lives in Docker containers.
///
/// Exit codes: 0 good; 1 the command or its backup failed; 2 wrong usage; 3 the server or the data
/// folder cannot be reached; 130 and 143 ended by a signal.
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
    /// A server's address, as in `http://127.0.0.1:7700`, its token in HOLDFAST_TOKEN; else the one in
    /// the data folder
    #[arg(long, global = true, env = "HOLDFAST_URL", help_heading = "Everywhere")]
    pub url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Apps: compose projects that are looked after
    #[command(subcommand)]
    App(apps::AppCommand),
    /// Configs: what is backed up, where to, and when
    #[command(subcommand)]
    Config(configs::ConfigCommand),
    /// Back up an app or a config now
    Backup(runs::BackupArgs),
    /// List runs
    Runs(runs::RunsArgs),
    /// Read the backup of a run again, and judge it as a restore would
    Verify(runs::VerifyArgs),
    /// Restore what a run stored
    Restore(restores::RestoreArgs),
    /// Take a restore back
    Undo(restores::UndoArgs),
    /// The audit log
    #[command(subcommand)]
    Audit(system::AuditCommand),
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
    #[command(subcommand)]
    User(users::UserCommand),
    /// Bearer tokens for programs
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Who is told outside, by webhook, chat or mail
    #[command(subcommand)]
    Webhooks(webhooks::WebhookCommand),
    /// Print the OpenAPI document
    Openapi,
}

/// Runs the command; the process ends with what is answered.
pub fn main(cli: Cli) -> ExitCode {
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
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => errors::report(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => return serve::run(&cli.data, &args).await,
        Command::System(own::SystemCommand::Restore { file }) => {
            return own::restore(&file, &cli.data, &cli.to, cli.output).await;
        }
        Command::Recover(args) => return recover::run(args, &cli.data, cli.output).await,
        Command::Openapi => return output::text(&holdfast::web::api::document()),
        Command::Key(command) => return keys::run(&command, cli.output),
        _ => {}
    }
    let works = matches!(
        cli.command,
        Command::Backup(_)
            | Command::Verify(_)
            | Command::Restore(_)
            | Command::Undo(_)
            | Command::System(own::SystemCommand::Backup { .. })
    );
    let connection = Connection::open(&cli.data, &cli.to, works).await?;
    let done = tokio::select! {
        done = perform(cli.command, &connection, cli.output) => done,
        code = signals::first() => Err(errors::Ended(code).into()),
    };
    connection.close().await;
    done
}

async fn perform(command: Command, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        Command::App(command) => apps::run(command, to, format).await,
        Command::Config(command) => configs::run(command, to, format).await,
        Command::Backup(args) => runs::backup(args, to, format).await,
        Command::Runs(args) => runs::list(args, to, format).await,
        Command::Verify(args) => runs::verify(args, to, format).await,
        Command::Restore(args) => restores::restore(args, to, format).await,
        Command::Undo(args) => restores::undo(args, to, format).await,
        Command::Audit(command) => system::audit(command, to, format).await,
        Command::Rebuild => system::rebuild(to, format).await,
        Command::Doctor => system::doctor(to, format).await,
        Command::System(command) => own::run(command, to, format).await,
        Command::User(command) => users::run(command, to, format).await,
        Command::Token(command) => tokens::run(command, to, format).await,
        Command::Webhooks(command) => webhooks::run(command, to, format).await,
        Command::Serve(_) | Command::Recover(_) | Command::Openapi | Command::Key(_) => Ok(()),
    }
}
