//! The worst day: the data folder is gone, and what is left is a target. From the log's segments in it
//! comes the database, from the manifests what was newer. All that lies in a target may be forged: it is
//! believed as far as signature, chain and manifest hold, and what does not fit is told in words.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};

use super::{DataLock, open};
use crate::{
    app::{Adopted, Caller, LostSecret, read_segment, segments},
    config::Config,
    domain::{copies::FurtherTarget, secret::Secret},
    log::{self, Import, ImportError},
    target::{self, Place, Settings, Target, layout, layout::Segment},
    work::SUBSCRIBERS,
};

/// What may lie in the data folder before: a kept master key, recovery keys, and artifacts that were put there.
const MAY_BE_THERE: [&str; 5] = [
    "master.key",
    "recovery-keys",
    "backups",
    "lock",
    "lost+found",
];

/// Where to recover from.
pub struct From {
    /// Name of a target kind.
    pub kind: String,
    pub settings: Settings,
    /// Root of the local target; the data folder's own when absent.
    pub local_root: Option<PathBuf>,
}

/// Which log, and how much of it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `instance/history`; has to be named when several lie there.
    pub log: Option<String>,
    /// When a piece is missing or damaged: what comes before it, rather than nothing.
    pub partial: bool,
    /// Private half of one of the server's recovery keys: the secrets come back too.
    pub identity: Option<Secret>,
}

/// What came back.
pub struct Recovered {
    /// `instance/history`: compare it with what you wrote down.
    pub log: String,
    /// The events 1 to this.
    pub events: i64,
    /// The last event that there should have been, by the names of the pieces.
    pub promised: i64,
    /// Pieces that were refused, and why.
    pub flaws: Vec<String>,
    /// Secrets that came back.
    pub secrets: usize,
    /// Some lie there, and nobody gave a key for them.
    pub locked_secrets: bool,
    pub adopted: Adopted,
    /// Nothing that needs one of them runs until it is entered again.
    pub lost_secrets: Vec<LostSecret>,
}

/// Into a data folder without anything that a server left. A failure leaves no database behind.
pub async fn recover(config: &Config, from: &From, wanted: &Wanted) -> anyhow::Result<Recovered> {
    let target = from.open(config)?;
    let pieces = choose(&*target, wanted.log.as_deref()).await?;
    let database = config.data_dir.join("holdfast.db");
    let imported = {
        let _lock = DataLock::take(&config.data_dir)?;
        must_be_empty(&config.data_dir)?;
        import(&database, &*target, &pieces, wanted.partial).await
    };
    let recovered = match imported {
        Ok(imported) => complete(config, &*target, from, wanted, &pieces, imported).await,
        Err(error) => Err(error),
    };
    if recovered.is_err() {
        remove(&database);
    }
    recovered
}

impl From {
    /// As a config would say it; its secrets are for a person to enter.
    fn place(&self) -> FurtherTarget {
        FurtherTarget {
            target: self.kind.clone(),
            settings: self.settings.plain.clone(),
            ..FurtherTarget::default()
        }
    }

    fn open(&self, config: &Config) -> anyhow::Result<std::sync::Arc<dyn Target>> {
        let own = config.data_dir.join("backups");
        let place = Place {
            local_root: self.local_root.clone().unwrap_or(own),
            stall: config.settings.target_stall,
            private_addresses: config.settings.private_targets,
        };
        let Some(kind) = target::kind(&self.kind) else {
            bail!("there is no kind of target {}", self.kind);
        };
        kind.open(&place, &self.settings).map_err(|errors| {
            let problems = errors.0.iter();
            let problems = problems.map(|(field, why)| format!("{field}: {why}"));
            anyhow::anyhow!(problems.collect::<Vec<_>>().join("; "))
        })
    }
}

fn must_be_empty(data_dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(data_dir)? {
        let name = entry?.file_name();
        ensure!(
            MAY_BE_THERE.iter().any(|it| name == *it),
            "{} is not empty ({}): a log is never recovered over what is there; name another data folder",
            data_dir.display(),
            name.to_string_lossy()
        );
    }
    Ok(())
}

/// The pieces of the log that is to come back, oldest first; at least one.
async fn choose(target: &dyn Target, wanted: Option<&str>) -> anyhow::Result<Vec<Segment>> {
    let entries = target.list(&layout::log_folder()).await?;
    let mut logs: BTreeMap<String, i64> = BTreeMap::new();
    for piece in entries.iter().filter_map(|entry| Segment::of(&entry.key)) {
        let last = logs.entry(name(&piece)).or_default();
        *last = piece.last.max(*last);
    }
    let told = logs.iter();
    let told = told.map(|(log, last)| format!("{log} ({last} events)"));
    let told = told.collect::<Vec<_>>().join(", ");
    let chosen = match (wanted, logs.len()) {
        (_, 0) => bail!(
            "no log lies in {}: it should hold {}, in the bucket and below the prefix that the configs named",
            target.describe(),
            layout::log_folder()
        ),
        (Some(wanted), _) if logs.contains_key(wanted) => wanted.to_owned(),
        (Some(wanted), _) => bail!("there is no log {wanted}; these are there: {told}"),
        (None, 1) => logs.into_keys().next().unwrap_or_default(),
        (None, _) => bail!(
            "several logs lie there, name the right one by --log (doctor told its name): {told}"
        ),
    };
    let instance = chosen.split('/').next().unwrap_or_default();
    let mut pieces = segments(target, instance).await?;
    pieces.retain(|piece| name(piece) == chosen);
    ensure!(!pieces.is_empty(), "the log {chosen} is gone");
    Ok(pieces)
}

fn name(piece: &Segment) -> String {
    format!("{}/{}", piece.instance, piece.history)
}

struct Imported {
    events: i64,
    promised: i64,
    flaws: Vec<String>,
}

async fn import(
    database: &Path,
    target: &dyn Target,
    pieces: &[Segment],
    partial: bool,
) -> anyhow::Result<Imported> {
    let db = log::open_sqlite(database).await?;
    let instance = pieces.first().map_or("", |piece| &piece.instance);
    let mut import = Import::begin(&db, instance).await?;
    let mut flaws = Vec::new();
    for piece in pieces {
        let key = piece.key()?;
        let packed = read_segment(target, &key).await?;
        match import.take(&packed).await {
            Ok(()) => {}
            // Another piece may hold the same: a kill leaves them double.
            Err(ImportError::Segment(flaw)) => flaws.push(format!("{key}: {flaw}")),
            Err(error) => return Err(error.into()),
        }
    }
    let promised = pieces.iter().map(|piece| piece.last).max().unwrap_or(0);
    let (reached, first) = (import.position(), flaws.first());
    let why = first.map_or("its pieces do not hold what their names say", |flaw| flaw);
    ensure!(reached > 0, "nothing of the log can be trusted: {why}");
    ensure!(
        partial || reached >= promised,
        "the log should go up to event {promised}; only the events up to {reached} can be trusted. {why}. \
         Look for a better copy in another target, or take those events by --partial"
    );
    let bare = import.flaw_of_pruned();
    ensure!(
        partial || bare.is_none(),
        "{}. Look for a better copy in another target, or take it as it is by --partial",
        bare.unwrap_or_default()
    );
    flaws.extend(bare);
    let events = import.finish(&SUBSCRIBERS).await?;
    db.close().await?;
    Ok(Imported {
        events,
        promised,
        flaws,
    })
}

/// Opens what was imported, and looks for what came after it.
async fn complete(
    config: &Config,
    target: &dyn Target,
    from: &From,
    wanted: &Wanted,
    pieces: &[Segment],
    imported: Imported,
) -> anyhow::Result<Recovered> {
    let opened = open(config)
        .await
        .context("what came back cannot be read; is this version of Holdfast older?")?;
    let (holdfast, caller) = (&opened.holdfast, Caller::cli("recover"));
    let log = pieces.first().map_or_else(String::new, name);
    holdfast
        .note_recovery(&caller, log.clone(), imported.events)
        .await?;
    let of = pieces
        .first()
        .map(|piece| (piece.instance.as_str(), piece.history));
    let of = of.context("no piece of the log was taken")?;
    let (secrets, locked_secrets) = match &wanted.identity {
        Some(identity) => {
            let taken = holdfast.take_secrets(target, of, identity).await?;
            let taken = taken.context(
                "no secrets lie beside this log: the server had no recovery key. Leave --identity out",
            )?;
            (taken, false)
        }
        None => (0, holdfast.has_secrets(target, of).await?),
    };
    Ok(Recovered {
        secrets,
        locked_secrets,
        adopted: holdfast.adopt(&caller, target, &from.place()).await?,
        lost_secrets: holdfast.lost_secrets().await?,
        log,
        events: imported.events,
        promised: imported.promised,
        flaws: imported.flaws,
    })
}

/// What SQLite made of it.
fn remove(database: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        let _ = fs::remove_file(path);
    }
}
