//! One attempt of a backup, in ordered steps that may be repeated: prepare, dump and store, read
//! back, write the manifest. Whatever goes wrong, nothing is left under the attempt's keys.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::pin;

use super::{
    codec::{self, Keys},
    pipeline::{self, Packing, Piped},
    progress::Job,
    verify,
};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, FORMAT, Fingerprint, Manifest, Source},
        run::Stage,
    },
    failpoint,
    strategy::{Dumped, Probe, Sink, Site, Strategy, StrategyError, Validator},
    target::{Key, Target, TargetError, layout},
};

/// All that one attempt works with.
pub struct Order {
    pub run: i64,
    pub attempt: u32,
    pub app: String,
    pub service: String,
    pub config: i64,
    pub config_revision: u32,
    pub subject: Box<dyn Subject>,
    /// Its `cancel` token is this attempt's own.
    pub site: Site,
    pub source: Source,
    pub target: Arc<dyn Target>,
    pub key: Key,
    pub packing: Packing,
    /// What opens the artifact again, if something is at hand.
    pub keys: Keys,
    /// Decompress and validate what was stored, not only compare its digest. Of an encrypted artifact
    /// that takes a key; without, its digest is what can be compared.
    pub verify: bool,
    /// Raw bytes of the last run, for the progress bar.
    pub estimate: Option<u64>,
    pub started_at: DateTime<Utc>,
}

/// What a backup reads: by a strategy the data of a service, or Holdfast's own database. The contract of
/// each method is that of [`Strategy`].
#[async_trait]
pub trait Subject: Send + Sync {
    /// Of the strategy, as it is stored.
    fn kind(&self) -> &'static str;
    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError>;
    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError>;
    fn validator(&self) -> Box<dyn Validator>;
    fn by_hand(&self, manifest: &Manifest, file: &str) -> Vec<String>;
}

#[async_trait]
impl Subject for &'static dyn Strategy {
    fn kind(&self) -> &'static str {
        Strategy::kind(*self)
    }

    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError> {
        Strategy::probe(*self, site).await
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
        Strategy::backup(*self, site, sink).await
    }

    fn validator(&self) -> Box<dyn Validator> {
        Strategy::validator(*self)
    }

    fn by_hand(&self, manifest: &Manifest, file: &str) -> Vec<String> {
        Strategy::by_hand(*self, manifest, file)
    }
}

/// What a proven backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub artifact: Artifact,
    pub fingerprint: Fingerprint,
    pub warnings: Vec<String>,
}

/// Told of each stage before it begins; refuses when the attempt is no longer the present one.
#[async_trait]
pub trait Stages: Send + Sync {
    async fn reach(&self, stage: Stage) -> Result<(), Failure>;
}

/// What is done to services around the reading of the data. `after` is called once after each
/// `before`, however that and the reading went.
#[async_trait]
pub trait Around: Send + Sync {
    /// Before the first byte; answers the site as it is then: its service may have been stopped.
    async fn before(&self, site: &Site) -> Result<Site, Failure>;

    /// Resolves when something that has to last while the data is read was lost.
    async fn lost(&self);

    /// As soon as the data is out of the container, or is known not to come.
    async fn after(&self) -> Aftermath;
}

#[derive(Debug, Default)]
pub struct Aftermath {
    pub warnings: Vec<String>,
    /// What had to last did not: the data proves nothing.
    pub broken: Option<Failure>,
}

/// `Ok` only for a backup that has been proved whole, with its manifest durable in the target.
pub async fn run(
    order: &Order,
    stages: &dyn Stages,
    around: &dyn Around,
    job: &Job,
) -> Result<Report, Failure> {
    let report = steps(order, stages, around, job).await;
    report.map_err(|failure| order.site.named(failure))
}

async fn steps(
    order: &Order,
    stages: &dyn Stages,
    around: &dyn Around,
    job: &Job,
) -> Result<Report, Failure> {
    stages.reach(Stage::Prepare).await?;
    job.enter(Stage::Prepare.title(), None);
    order.target.check().await?;
    let probe = order.subject.probe(&order.site).await?;
    let source = Source {
        subject: probe.subject,
        server: probe.server,
        tool: probe.tool,
        ..order.source.clone()
    };

    stages.reach(Stage::Dump).await?;
    job.enter(Stage::Dump.title(), order.estimate.or(probe.size));
    let (warnings, piped) = match around.before(&order.site).await {
        Ok(site) => dump(order, &site, around, job).await?,
        Err(failure) => {
            around.after().await;
            return Err(failure);
        }
    };
    failpoint::hit("backup.after_put");
    let stored = prove_and_commit(order, stages, job, source, warnings, &piped).await;
    if stored.is_err()
        && let Err(left) = discard(&*order.target, &order.key).await
    {
        // Its own failure is what a person must hear of; this is tried again with the next attempt.
        tracing::warn!(key = %order.key, error = %left.message, "leftovers stay for now");
    }
    stored
}

async fn dump(
    order: &Order,
    site: &Site,
    around: &dyn Around,
    job: &Job,
) -> Result<(Vec<String>, Piped), Failure> {
    failpoint::hit("backup.before_put");
    let stop = &order.site.cancel;
    let (mut pipe, body) = pipeline::open(
        order.packing.clone(),
        order.subject.validator(),
        job.progress(),
        stop.clone(),
    );
    let dump = async {
        let read = read(order, site, around, &mut pipe).await;
        // What is still on its way to the target needs no service to stand still.
        let aftermath = around.after().await;
        if let Some(broken) = aftermath.broken {
            return Err(broken);
        }
        let mut warnings = read?.warnings;
        warnings.extend(aftermath.warnings);
        Ok::<_, Failure>((warnings, pipe.finish().await?))
    };
    pipeline::deliver(&*order.target, &order.key, body, None, stop, dump).await
}

/// Reads the data out of the container. Ends early when what had to last meanwhile is lost.
async fn read(
    order: &Order,
    site: &Site,
    around: &dyn Around,
    sink: &mut dyn Sink,
) -> Result<Dumped, Failure> {
    let backup = order.subject.backup(site, sink);
    pin!(backup);
    tokio::select! {
        biased;
        dumped = &mut backup => return Ok(dumped?),
        () = around.lost() => order.site.cancel.cancel(),
    }
    Ok(backup.await?)
}

async fn prove_and_commit(
    order: &Order,
    stages: &dyn Stages,
    job: &Job,
    source: Source,
    warnings: Vec<String>,
    piped: &Piped,
) -> Result<Report, Failure> {
    let artifact = piped.artifact(&order.key);
    stages.reach(Stage::Verify).await?;
    job.enter(Stage::Verify.title(), Some(piped.raw_bytes));
    let stop = &order.site.cancel;
    if order.verify && order.keys.opens(&artifact) {
        let (target, keys) = (&*order.target, &order.keys);
        let validator = order.subject.validator();
        verify::verify(target, &artifact, keys, validator, job.progress(), stop).await?;
    } else {
        verify::read_back(&*order.target, &artifact, stop).await?;
    }

    stages.reach(Stage::Commit).await?;
    job.enter(Stage::Commit.title(), None);
    let mut manifest = Manifest {
        format: FORMAT,
        run: order.run,
        attempt: order.attempt,
        app: order.app.clone(),
        service: order.service.clone(),
        config: order.config,
        config_revision: order.config_revision,
        strategy: order.subject.kind().to_owned(),
        source,
        artifact: artifact.clone(),
        fingerprint: piped.fingerprint.clone(),
        warnings: warnings.clone(),
        started_at: order.started_at,
        finished_at: Utc::now(),
        restore_by_hand: Vec::new(),
    };
    manifest.restore_by_hand = by_hand(&*order.subject, &*order.target, &order.key, &manifest);
    failpoint::hit("backup.before_manifest");
    write_manifest(&*order.target, &order.key, &manifest).await?;
    failpoint::hit("backup.after_manifest");
    Ok(Report {
        artifact,
        fingerprint: piped.fingerprint.clone(),
        warnings,
    })
}

/// The commands that restore without Holdfast what lies under `key` in `target`.
pub(super) fn by_hand(
    subject: &dyn Subject,
    target: &dyn Target,
    key: &Key,
    manifest: &Manifest,
) -> Vec<String> {
    let fetch = target.fetch_by_hand(key);
    let file = match &fetch {
        Some(_) => key.name().to_owned(),
        None => target.locate(key),
    };
    let artifact = &manifest.artifact;
    let private = artifact.is_encrypted().then(|| {
        let recipients = codec::shortened(&artifact.recipients);
        format!("# key.txt holds the private key of one of: {recipients}")
    });
    let commands = subject.by_hand(manifest, &file);
    let before = fetch.into_iter().chain(private);
    before.chain(commands).collect()
}

/// Puts the manifest beside the artifact `key`.
pub(super) async fn write_manifest(
    target: &dyn Target,
    key: &Key,
    manifest: &Manifest,
) -> Result<(), ManifestError> {
    let key = layout::manifest_key(key)?;
    let json = serde_json::to_vec_pretty(manifest)?;
    let size = json.len() as u64;
    let body = stream::iter([Ok(Bytes::from(json))]).boxed();
    target.put(&key, body, Some(size)).await?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("the manifest cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Json(_) => Failure::permanent(error.to_string(), ""),
            ManifestError::Target(error) => error.into(),
        }
    }
}

/// Removes what an attempt without success may have left: the manifest first, so that at no
/// instant a manifest stands without its artifact. Gone is fine.
pub async fn discard(target: &dyn Target, key: &Key) -> Result<(), Failure> {
    target.delete(&layout::manifest_key(key)?).await?;
    target.delete(key).await?;
    Ok(())
}
