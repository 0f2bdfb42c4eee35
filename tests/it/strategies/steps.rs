//! A restore that is taken away, cancelled, cut off or loses its service, at every step it records:
//! the content is as before or as restored, never between, and settling says which, as often as it is
//! asked.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast::strategy::{Kept, Settled, Site, Step, StrategyError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Kind, find, options, start_seeded};
use crate::{
    bed::Bed,
    workbench::{self, Backup, Notes},
};

/// Milliseconds after the record of a step.
const CUTS: [u64; 4] = [0, 20, 80, 300];

struct Scene {
    bed: Bed,
    site: Site,
    backup: Backup,
    original: String,
    changed: String,
}

pub async fn steps<K: Kind>() {
    let bed = start_seeded::<K>(&format!("steps-{}-{}", K::NAME, std::process::id()));
    let site = workbench::site(&bed, options::<K>()).await;
    let original = K::digest(&bed);
    let backup = workbench::back_up(find::<K>(), &site).await.unwrap();
    K::change(&bed);
    let scene = Scene {
        changed: K::digest(&bed),
        bed,
        site,
        backup,
        original,
    };

    let names = scene.whole::<K>().await;
    for (number, name) in names.iter().enumerate() {
        scene.taken_away::<K>(number, name).await;
        scene.cancelled::<K>(number, name).await;
    }
    let (mut before, mut after) = (0, 0);
    for (number, name) in names.iter().enumerate() {
        for delay in CUTS {
            match scene.cut_off::<K>(number, name, delay).await {
                Outcome::AsBefore => before += 1,
                Outcome::Restored => after += 1,
            }
        }
    }
    let mut killed = 0;
    for (number, name) in names.iter().enumerate() {
        killed += usize::from(scene.killed::<K>(number, name).await);
    }
    scene.whole::<K>().await;
    println!(
        "figure: {}: {} steps taken away and cancelled, {} cuts ({before} settled as before, {after} as restored), service killed at {killed}: never between",
        K::NAME,
        names.len(),
        before + after,
    );
}

enum Outcome {
    AsBefore,
    Restored,
}

impl Scene {
    /// A restore that goes well, its undo, and the names of its steps.
    async fn whole<K: Kind>(&self) -> Vec<String> {
        let notes = Notes::default();
        let restored = self.backup.restore(&self.site, &notes).await.unwrap();
        assert_eq!(K::digest(&self.bed), self.original, "a whole restore");
        assert!(!notes.names().is_empty(), "a restore records its steps");
        self.undo::<K>(&restored.kept.expect("an undo")).await;
        notes.names()
    }

    /// Puts the changed content back, and forgets the rest.
    async fn undo<K: Kind>(&self, kept: &Kept) {
        let strategy = find::<K>();
        let notes = Notes::default();
        let kept = strategy.undo(&self.site, kept, &notes).await.unwrap();
        for _ in 0..2 {
            strategy.forget(&self.site, &kept).await.unwrap();
        }
        self.is_as_before::<K>("an undo");
    }

    #[track_caller]
    fn is_as_before<K: Kind>(&self, when: &str) {
        assert_eq!(K::digest(&self.bed), self.changed, "{when}");
        assert_eq!(K::leftovers(&self.bed), Vec::<String>::new(), "{when}");
    }

    /// What settling says is so, and it says it again.
    async fn settled<K: Kind>(&self, steps: &[Step], when: &str) -> Outcome {
        let settled = self.settle::<K>(steps, when).await;
        K::until_ready(&self.bed);
        assert_eq!(self.settle::<K>(steps, when).await, settled, "{when}");
        match settled {
            Settled::AsBefore => {
                self.is_as_before::<K>(when);
                Outcome::AsBefore
            }
            Settled::Restored(kept) => {
                assert_eq!(K::digest(&self.bed), self.original, "{when}");
                self.undo::<K>(&kept.expect("an undo")).await;
                Outcome::Restored
            }
        }
    }

    /// Until the service is in reach, as the queue would; longer than an engine in trouble may take to
    /// answer a call or two.
    async fn settle<K: Kind>(&self, steps: &[Step], when: &str) -> Settled {
        let deadline = Instant::now() + Duration::from_secs(180);
        let site = self.site.uncancelled();
        loop {
            match find::<K>().settle(&site, steps).await {
                Ok(settled) => return settled,
                Err(error) => assert!(Instant::now() < deadline, "{when}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The journal refuses the step: another worker has the restore now.
    async fn taken_away<K: Kind>(&self, number: usize, name: &str) {
        let notes = Notes::refusing_nth(number);
        let error = self.backup.restore(&self.site, &notes).await.unwrap_err();
        let refused = matches!(error, StrategyError::JournalClosed(_));
        assert!(refused, "{name}: {error:?}");
        K::until_ready(&self.bed);
        self.is_as_before::<K>(&format!("{name} taken away"));
        let outcome = self.settled::<K>(&notes.steps(), name).await;
        assert!(matches!(outcome, Outcome::AsBefore), "{name}");
    }

    async fn cancelled<K: Kind>(&self, number: usize, name: &str) {
        let site = Site {
            cancel: CancellationToken::new(),
            ..self.site.clone()
        };
        let cancel = site.cancel.clone();
        let notes = Notes::at_nth(number, move || cancel.cancel());
        match self.backup.restore(&site, &notes).await {
            Err(StrategyError::Cancelled) => {
                K::until_ready(&self.bed);
                self.is_as_before::<K>(&format!("{name} cancelled"));
            }
            // Too late for that: it is whole.
            Ok(restored) => self.undo::<K>(&restored.kept.unwrap()).await,
            Err(error) => panic!("{name} cancelled: {error:?}"),
        }
    }

    /// The task is dropped, as a killed worker would be.
    async fn cut_off<K: Kind>(&self, number: usize, name: &str, delay: u64) -> Outcome {
        let reached = Arc::new(Notify::new());
        let signal = reached.clone();
        let notes = Notes::at_nth(number, move || signal.notify_one());
        let cut = async {
            reached.notified().await;
            tokio::time::sleep(Duration::from_millis(delay)).await;
        };
        tokio::select! {
            _ = self.backup.restore(&self.site, &notes) => {}
            () = cut => {}
        }
        // As the application does before it settles.
        let (engine, id) = (&self.site.engine, &self.site.container.id);
        engine.sweep_helpers(id).await.unwrap();
        let _ = engine.sweep(id, None).await;
        self.settled::<K>(&notes.steps(), &format!("{name} + {delay} ms"))
            .await
    }

    /// The service is killed when the step is recorded; false when it did not run then.
    async fn killed<K: Kind>(&self, number: usize, name: &str) -> bool {
        let service = self.bed.name.clone();
        let notes = Notes::at_nth(number, move || {
            let kill = Command::new("docker").args(["kill", &service]).output();
            assert!(kill.is_ok());
        });
        let restored = self.backup.restore(&self.site, &notes).await;
        let (engine, id) = (&self.site.engine, &self.site.container.id);
        let ran = !engine.container(id).await.unwrap().running;
        if ran {
            self.bed.start_again();
        }
        K::until_ready(&self.bed);
        match restored {
            // It needed no running service at that moment.
            Ok(restored) => {
                assert_eq!(K::digest(&self.bed), self.original, "{name} killed");
                self.undo::<K>(&restored.kept.unwrap()).await;
            }
            Err(StrategyError::Unsettled(_)) => {
                self.settled::<K>(&notes.steps(), &format!("{name} killed"))
                    .await;
            }
            Err(_) => self.is_as_before::<K>(&format!("{name} killed")),
        }
        ran
    }
}
