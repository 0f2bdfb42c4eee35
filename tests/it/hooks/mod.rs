//! Hooks around real backups, on real containers: what is stopped runs again whatever happens, what
//! is locked is locked for as long as the data is read, and what a hook says is what ran.

mod around;
mod crashes;
mod databases;
mod hostile;
mod together;

use holdfast::{
    app::ConfigInput,
    domain::{
        event::{Event, StreamKind},
        hook::{Hook, HookOutcome, HookReport, Phase},
        ids::{ConfigId, RunId},
        run::RunEvent,
    },
    log::StreamId,
    readmodel::runs,
};

use crate::{
    bed::{self, BUSYBOX, Bed, docker},
    house::{House, postgres, psql},
    session::Session,
};

/// A database that is backed up, and a service beside it that hooks work on.
struct Shop {
    house: House,
    db: Bed,
    web: Bed,
    project: String,
}

impl Shop {
    async fn new(name: &str) -> Self {
        let project = format!("hooks-{name}-{}", std::process::id());
        let db = postgres(bed::POSTGRES, &project, &[]);
        psql(
            &db,
            "shop",
            "CREATE TABLE notes AS SELECT i, md5(i::text) t FROM generate_series(1, 1000) i",
        );
        let web = service(
            BUSYBOX,
            &project,
            "web",
            &["--network", "none"],
            &["sleep", "3600"],
        );
        let house = House::patient().await;
        house.app("shop", &project).await;
        Self {
            house,
            db,
            web,
            project,
        }
    }

    async fn config(&self, pre: Vec<Hook>, post: Vec<Hook>) -> ConfigId {
        let hooks = |input: &mut ConfigInput| {
            input.pre_hooks = Some(pre);
            input.post_hooks = Some(post);
        };
        self.house.config("shop", hooks).await
    }

    /// Holds every dump in its middle until it is ended.
    fn hold_dumps(&self) -> Session {
        let lock = "BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE";
        Session::open(&self.db.name, "postgres", "shop", lock)
    }

    async fn reports(&self, run: RunId) -> Vec<HookReport> {
        let stream = StreamId {
            kind: StreamKind::Run,
            id: run.0,
        };
        let events = self.house.holdfast.history(stream).await.unwrap();
        let report = |event: holdfast::log::Recorded| match event.event {
            Event::Run(RunEvent::HookRan { hook, .. }) => Some(hook),
            _ => None,
        };
        events.into_iter().filter_map(report).collect()
    }

    /// Type and outcome of each hook that ran, in order.
    async fn outcomes(&self, run: &runs::Model) -> Vec<(String, HookOutcome)> {
        let reports = self.reports(run.run_id()).await;
        reports.into_iter().map(|r| (r.kind, r.outcome)).collect()
    }

    async fn owes_nothing(&self, run: RunId) {
        let run = self.house.run(run).await;
        assert_eq!(run.obligations(), [], "{run:?}");
    }
}

/// A running container of that service.
fn service(image: &str, project: &str, name: &str, options: &[&str], command: &[&str]) -> Bed {
    let project = format!("com.docker.compose.project={project}");
    let service = format!("com.docker.compose.service={name}");
    let labels = ["--label", &project, "--label", &service];
    Bed::run(image, &[&labels[..], options].concat(), command)
}

/// When it was last started, as the engine says it.
fn started_at(bed: &Bed) -> String {
    docker(&["inspect", "-f", "{{.State.StartedAt}}", &bed.name])
}

fn hook(kind: &str, service: &str) -> Hook {
    Hook {
        kind: kind.into(),
        service: service.into(),
        command: None,
        timeout: Some(10),
    }
}

fn exec(service: &str, command: &str) -> Hook {
    Hook {
        command: Some(command.into()),
        ..hook("exec", service)
    }
}
