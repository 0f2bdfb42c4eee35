//! `audit`: the log as evidence. What left the host is checked here, without any server.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use holdfast::log::{
    Checkpoint, MAX_PACKED, Verification, instance_of_key,
    offline::{self, HeadLine, Known},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    address::query,
    connect::Connection,
    errors::{Failed, Usage},
    output::{self, Column, Format},
    typed,
};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that nothing in the log was changed since it was written; the server's own, or with --export,
    /// --segments or --database what lies here, without a server
    Verify(VerifyArgs),
    /// Print where the log stands now, signed: kept elsewhere, it shows later whether the log's end was cut
    /// off, or all of it written anew
    Checkpoint,
    /// Take the detail of old log-ins, refusals, downloads and exports out of the server's database, once a
    /// target is seen to hold it
    Prune(PruneArgs),
    /// Print the log, oldest first, with a checkpoint at its end
    Export {
        /// `jsonl` or `csv`
        #[arg(long, default_value = "jsonl")]
        format: String,
        /// Only the events after this one: the rest of an export that broke off
        #[arg(long, value_name = "POSITION")]
        after: Option<i64>,
        /// None before this day or time (RFC 3339)
        #[arg(long)]
        from: Option<String>,
        /// None from this day or time on
        #[arg(long)]
        to: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A checkpoint that was kept, or an export that ends with one; `-` is standard input
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The key that the checkpoint was signed with, when it was written down
    #[arg(long, value_name = "HEX")]
    public_key: Option<String>,
    /// Check this export (`jsonl`); `-` is standard input
    #[arg(long, value_name = "FILE", group = "offline")]
    export: Option<PathBuf>,
    /// The export was asked for with --from, --to or --after: what is not in it is no finding
    #[arg(long, requires = "export")]
    part: bool,
    /// Check the log's segments in this folder, as they lie in a target: `holdfast-log/SERVER/HISTORY`
    #[arg(long, value_name = "FOLDER", group = "offline")]
    segments: Option<PathBuf>,
    /// Check the log in this database file, a server's or a copy
    #[arg(long, value_name = "FILE", group = "offline")]
    database: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// What happened longer ago than this, in days: `365d`
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: u32,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').and_then(|days| days.parse().ok());
    number
        .filter(|days| *days > 0)
        .ok_or_else(|| "use days, as in 365d".to_owned())
}

impl VerifyArgs {
    pub fn is_offline(&self) -> bool {
        self.export.is_some() || self.segments.is_some() || self.database.is_some()
    }
}

const VERIFICATION: [Column; 9] = [
    ("Holds", "/ok"),
    ("Events", "/events"),
    ("From", "/first"),
    ("Head", "/head"),
    ("Compared with a checkpoint at", "/compared"),
    ("Pruned", "/pruned"),
    ("Of these not proved in this part", "/unconfirmed"),
    ("Their detail lies in", "/pruned_to"),
    ("Findings", "/findings"),
];
const PRUNED: [Column; 3] = [
    ("Only told", "/dry_run"),
    ("From before", "/before"),
    ("Events", "/events"),
];
const SEGMENTS: [Column; 5] = [
    ("FROM", "/first"),
    ("TO", "/last"),
    ("EVENTS", "/events"),
    ("TARGET", "/target"),
    ("SEGMENT", "/key"),
];
const KEPT: [Column; 5] = [
    ("KEPT FROM", "/first"),
    ("TO", "/last"),
    ("EVENTS", "/events"),
    ("WHY", "/error_msg"),
    ("WHAT TO DO", "/hint"),
];
const CHECKPOINT: [Column; 6] = [
    ("Position", "/position"),
    ("Hash", "/hash"),
    ("At", "/at"),
    ("Server", "/instance"),
    ("Public key", "/public_key"),
    ("Signature", "/signature"),
];

pub async fn run(command: AuditCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify(args) => {
            let known = args.known()?;
            let checkpoint = known.checkpoint.map(|it| json!({ "checkpoint": it }));
            let body = checkpoint.unwrap_or_else(|| json!({}));
            say(format, &to.client.post("/api/audit/verify", body).await?)
        }
        AuditCommand::Prune(args) => prune(&args, to, format).await,
        AuditCommand::Checkpoint => {
            let found = to.client.get("/api/audit/checkpoint").await?;
            output::one(format, &found, &CHECKPOINT)
        }
        AuditCommand::Export {
            format,
            after,
            from,
            to: end,
        } => {
            let after = after.map(|position| position.to_string());
            let given = [
                ("format", Some(format)),
                ("after", after),
                ("from", from),
                ("to", end),
            ];
            let path = format!("/api/audit/export?{}", query(&given));
            let mut answer = to.client.stream(Method::GET, &path).await?;
            while let Some(chunk) = answer.chunk().await.context("the export broke off")? {
                output::bytes(&chunk)?;
            }
            Ok(())
        }
    }
}

async fn prune(args: &PruneArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let days = args.older_than;
    let question = format!(
        "Take the detail of what happened more than {days} days ago out of the server's database? It stays in \
         the log's segments alone.\nType prune to go on: "
    );
    if !args.dry_run && !args.yes && !typed::confirmed(&question, "prune")? {
        bail!("nothing was changed");
    }
    let body = json!({ "older_than_days": days, "dry_run": args.dry_run });
    let told = to.client.post("/api/audit/pruning", body).await?;
    output::one(format, &told, &PRUNED)?;
    let is_empty = |list: &str| told[list].as_array().is_none_or(Vec::is_empty);
    if format == Format::Table && !is_empty("segments") {
        output::list(format, &told["segments"], &SEGMENTS)?;
    }
    if format == Format::Table && !is_empty("kept") {
        output::list(format, &told["kept"], &KEPT)?;
    }
    if is_empty("kept") {
        Ok(())
    } else {
        Err(Failed.into())
    }
}

/// Speaks to no server.
pub async fn verify_offline(args: &VerifyArgs, format: Format) -> anyhow::Result<()> {
    let known = args.known()?;
    let found = if let Some(file) = &args.export {
        offline::export(open(file)?, &known, args.part)?
    } else if let Some(folder) = &args.segments {
        segments(folder, &known)?
    } else if let Some(file) = &args.database {
        let checked = offline::database(file, &known).await;
        checked.with_context(|| file.display().to_string())?
    } else {
        bail!(Usage("say what to check".into()))
    };
    let told = told(&found);
    say(format, &told)
}

fn told(found: &Verification) -> Value {
    let findings = found.findings.iter().map(ToString::to_string);
    json!({
        "ok": found.holds(),
        "events": found.events,
        "first": found.first,
        "head": found.head,
        "compared": found.compared,
        "pruned": found.pruned,
        "unconfirmed": Some(found.unconfirmed).filter(|it| *it > 0),
        "pruned_to": found.segments,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn say(format: Format, found: &Value) -> anyhow::Result<()> {
    output::one(format, found, &VERIFICATION)?;
    if found["compared"].is_null() {
        output::note(
            "Without a checkpoint from elsewhere nobody can tell whether the log's end was cut off, or all of \
             it written anew: keep one (`holdfast audit checkpoint`) and name it by --checkpoint.",
        );
    }
    if found["ok"] == json!(true) {
        Ok(())
    } else {
        Err(Failed.into())
    }
}

impl VerifyArgs {
    fn known(&self) -> anyhow::Result<Known> {
        let checkpoint = self
            .checkpoint
            .as_deref()
            .map(read_checkpoint)
            .transpose()?;
        Ok(Known::new(checkpoint, self.public_key.clone())?)
    }
}

/// As `audit checkpoint --output json` printed it, or the last line of an export.
fn read_checkpoint(file: &Path) -> anyhow::Result<Checkpoint> {
    let mut text = String::new();
    let read = open(file)?.read_to_string(&mut text);
    read.with_context(|| file.display().to_string())?;
    let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
    let alone = serde_json::from_str::<Checkpoint>(&text);
    let head = || Some(serde_json::from_str::<HeadLine>(last).ok()?.head);
    alone.ok().or_else(head).with_context(|| {
        let file = file.display();
        format!("{file} is no checkpoint: take what `audit checkpoint --output json` prints")
    })
}

/// One that cannot be read is told as one that is damaged.
fn segments(folder: &Path, known: &Known) -> anyhow::Result<Verification> {
    let instance = match (&known.checkpoint, &known.public_key) {
        (Some(checkpoint), _) => Some(checkpoint.instance.clone()),
        (None, Some(key)) => Some(instance_of_key(key).context("--public-key is no key")?),
        (None, None) => None,
    };
    let instance = instance.ok_or_else(|| {
        let need = "--segments needs --checkpoint or --public-key: whose signature counts cannot be read from \
                    what is to be checked";
        Usage(need.into())
    })?;
    let listed = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".jsonl.gz") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "no segments lie in {}", folder.display());
    files.sort();
    let pieces = files.into_iter().map(|path| -> io::Result<_> {
        let mut packed = Vec::new();
        let most = u64::try_from(MAX_PACKED).unwrap_or(u64::MAX);
        File::open(&path)?.take(most + 1).read_to_end(&mut packed)?;
        let name = path.file_name().unwrap_or_default();
        Ok((name.to_string_lossy().into_owned(), packed))
    });
    Ok(offline::segments(pieces, &instance, known)?)
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    Ok(Box::new(BufReader::new(opened)))
}
