//! A server without containers, whose runs are there because the test says so: their artifacts went
//! through the real pipeline and lie in a real folder, as those of real runs would.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast::{
    app::{Caller, Holdfast},
    bootstrap::{self, Opened},
    config::{Config, DataArgs},
    docker::fake::FakeEngine,
    domain::{
        app::{App, AppCommand},
        config::{Config as BackupConfig, ConfigCommand, ConfigSpec, Retention},
        event::StreamKind,
        ids::{AppId, ConfigId, RunId},
        manifest::{Compression, FORMAT, Manifest, Source},
        run::{Pin, Run, RunCommand, Stage},
    },
    engine::pipeline,
    log::Cause,
    readmodel::runs,
    strategy::{self, Sink, Strategy},
    target::{Key, Target, layout, memory::Memory},
    work::Work,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    house::{engine_args, run_when},
    samples,
};

pub const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\nCOPY public.t (x) FROM stdin;\n";
pub const TAIL: &str = "\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n";

/// What pg_dump writes of a table with so many rows.
pub fn dump(rows: u32) -> Bytes {
    let rows = (0..rows).map(|row| format!("{:08x}\n", row.wrapping_mul(0x9E37_79B9)));
    format!("{HEAD}{}{TAIL}", rows.collect::<String>()).into()
}

pub struct Shelf {
    pub data: TempDir,
    pub caller: Caller,
    pub holdfast: Holdfast,
    opened: Option<Opened>,
    work: Option<Work>,
}

/// Config 1, of app 1, into the local target.
pub fn spec() -> ConfigSpec {
    ConfigSpec {
        service: "db".into(),
        strategy: "postgres".into(),
        target: "local".into(),
        retention: Retention::Count { count: 2 },
        verify_upload: true,
        ..ConfigSpec::default()
    }
}

impl Shelf {
    pub async fn new() -> Self {
        Self::of(spec()).await
    }

    pub async fn of(spec: ConfigSpec) -> Self {
        let data = TempDir::new().unwrap();
        let mut shelf = Self::open(data, Duration::ZERO).await;
        shelf.found(spec).await;
        shelf.start().await;
        shelf
    }

    /// The first events: app 1 and config 1.
    pub async fn found(&self, spec: ConfigSpec) {
        let log = self.holdfast.log();
        let command = AppCommand::Register {
            app: AppId(1),
            slug: "shop".into(),
            spec: samples::app_spec(),
        };
        log.execute::<App>(Cause::system("test"), 1, command)
            .await
            .unwrap();
        let command = ConfigCommand::Create {
            config: ConfigId(1),
            app: AppId(1),
            spec,
        };
        log.execute::<BackupConfig>(Cause::system("test"), 1, command)
            .await
            .unwrap();
    }

    pub async fn open(data: TempDir, verify_every: Duration) -> Self {
        let mut config = config(data.path());
        config.settings.verify_every = verify_every;
        let engine = FakeEngine::with("shop-db");
        let opened = bootstrap::open_with(&config, engine, None).await.unwrap();
        Self {
            data,
            caller: Caller::system("test"),
            holdfast: opened.holdfast.clone(),
            opened: Some(opened),
            work: None,
        }
    }

    pub async fn start(&mut self) {
        self.work = Some(Work::start(self.holdfast.clone(), "test").await.unwrap());
    }

    pub async fn stop(&mut self) {
        if let Some(work) = self.work.take() {
            work.stop(Duration::from_secs(5)).await;
        }
    }

    /// Stops it and starts it with rolling verification.
    pub async fn restart(mut self, verify_every: Duration) -> Self {
        self.stop().await;
        drop(self.opened.take());
        let mut shelf = Self::open(self.data, verify_every).await;
        shelf.start().await;
        shelf
    }

    /// A run of config 1 that stored this.
    pub async fn store(&self, raw: Bytes) -> RunId {
        let rows = runs::Filter {
            limit: 1,
            ..runs::Filter::default()
        };
        let newest = self.holdfast.runs(&self.caller, &rows).await.unwrap();
        let run = newest.first().map_or(1, |run| run.id + 1);
        let key = Key::parse(&format!("shop/1/shop-db-{run:06}.sql.gz")).unwrap();
        let strategy = strategy::find("postgres").unwrap();
        let memory = Memory::new();
        let manifest = pack(&memory, strategy, run, &key, raw, Compression::Gzip).await;
        for key in [&key, &layout::manifest_key(&key).unwrap()] {
            let path = self.path(key.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, memory.bytes(key).unwrap()).unwrap();
        }
        self.claim(run, manifest).await
    }

    /// Of a run that is at work, as far as the log says.
    pub async fn begin(&self, like: RunId) -> RunId {
        let done = self.run(like).await;
        let run = like.0 + 1;
        let mut pin = Box::new(done.pin().unwrap());
        pin.key = format!("shop/1/shop-db-{run:06}.sql.gz");
        let commands = samples::beginning(run, ConfigId(1), pin);
        self.tell(run, commands.into()).await
    }

    /// The events of a run that stored what `manifest` says.
    async fn claim(&self, run: i64, manifest: Manifest) -> RunId {
        let config = readmodel_spec(self).await;
        let pin = Box::new(Pin {
            config_revision: 1,
            spec: config,
            source: manifest.source,
            key: manifest.artifact.key.clone(),
        });
        let mut commands = Vec::from(samples::beginning(run, ConfigId(1), pin));
        commands.extend([
            RunCommand::Reach {
                attempt: 1,
                stage: Stage::Commit,
            },
            RunCommand::Succeed {
                attempt: 1,
                artifact: manifest.artifact,
                fingerprint: manifest.fingerprint,
                warnings: vec![],
            },
        ]);
        self.tell(run, commands).await
    }

    async fn tell(&self, run: i64, commands: Vec<RunCommand>) -> RunId {
        let done = self
            .holdfast
            .log()
            .write(Cause::system("test"), move |unit| {
                Box::pin(async move {
                    let id = unit.next_id(StreamKind::Run).await?;
                    for command in commands {
                        unit.execute::<Run>(id, command).await?;
                    }
                    Ok(id)
                })
            });
        assert_eq!(done.await.unwrap(), run);
        RunId(run)
    }

    /// Where the local target keeps `key`.
    pub fn path(&self, key: &str) -> PathBuf {
        self.data.path().join("backups").join(key)
    }

    /// Where the artifact of `run` lies.
    pub async fn artifact(&self, run: RunId) -> PathBuf {
        self.path(&self.run(run).await.file_path.unwrap())
    }

    pub async fn run(&self, id: RunId) -> runs::Model {
        self.holdfast.run(&self.caller, id).await.unwrap()
    }

    /// Asks for the verification of the run, and waits for what comes out.
    pub async fn verify(&self, id: RunId) -> runs::Verified {
        let asked = self.holdfast.request_verification(&self.caller, id).await;
        asked.unwrap();
        self.until(id, |run| run.verifying.is_none()).await;
        self.run(id).await.verification().unwrap()
    }

    /// Until the run is so.
    pub async fn until(&self, id: RunId, so: impl Fn(&runs::Model) -> bool) -> runs::Model {
        run_when(&self.holdfast, &self.caller, id, so).await
    }
}

/// What a server in that folder is told.
pub fn config(data: &Path) -> Config {
    let args = DataArgs {
        data_dir: data.to_owned(),
    };
    let mut config = Config::new(&args, &engine_args()).unwrap();
    config.settings.retry_base = Duration::from_millis(20);
    config
}

async fn readmodel_spec(shelf: &Shelf) -> ConfigSpec {
    let config = shelf.holdfast.config(&shelf.caller, ConfigId(1)).await;
    config.unwrap().spec()
}

/// Stores `raw` as a backup would; answers the manifest, which lies beside.
pub async fn pack(
    target: &dyn Target,
    strategy: &'static dyn Strategy,
    run: i64,
    key: &Key,
    raw: Bytes,
    compression: Compression,
) -> Manifest {
    let stop = CancellationToken::new();
    let (mut pipe, body) = pipeline::open(
        compression,
        strategy.validator(),
        Arc::default(),
        stop.clone(),
    );
    let dump = async move {
        pipe.write(raw).await.unwrap();
        Ok(((), pipe.finish().await?))
    };
    let delivered = pipeline::deliver(target, key, body, None, &stop, dump).await;
    let ((), piped) = delivered.unwrap();
    let manifest = Manifest {
        format: FORMAT,
        run,
        attempt: 1,
        app: "shop".into(),
        service: "db".into(),
        config: 1,
        config_revision: 1,
        strategy: strategy.kind().into(),
        source: Source {
            container: "shop-db".into(),
            subject: "shop".into(),
            ..Source::default()
        },
        artifact: piped.artifact(key),
        fingerprint: piped.fingerprint,
        warnings: vec![],
        started_at: samples::time(),
        finished_at: samples::time(),
        restore_by_hand: vec![],
    };
    let json = serde_json::to_vec(&manifest).unwrap();
    let body = stream::iter([Ok(Bytes::from(json))]).boxed();
    let key = layout::manifest_key(key).unwrap();
    target.put(&key, body, None).await.unwrap();
    manifest
}
