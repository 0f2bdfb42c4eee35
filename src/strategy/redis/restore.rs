//! Restore: write the dump beside the data, load it into a server of our own, and only then stop the
//! service and exchange its files. What was there before is kept for the undo.

use super::{
    client::Client,
    dump::must_be_whole,
    exchange::{CHECK, Exchange, LOAD, STAGE},
    files::Files,
    layout::{HIDDEN, Layout},
    load,
    rdb::Contents,
};
use crate::{
    docker::{DockerError, Tools},
    strategy::{Journal, RawStream, RestorePlan, Restored, Site, Step, StrategyError, tag},
};

/// Room that a restore leaves on the disk, in bytes.
const SPARE: u64 = 16 << 20;

pub async fn restore(
    site: &Site,
    plan: &RestorePlan,
    artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Restored, StrategyError> {
    let place = Place::of(site, plan).await?;
    let mut exchange = place.exchange(plan)?;
    let noted = Noted::new(journal);
    let helper = site.helper(Tools::Own, false).await?;
    let files = Files {
        site: helper.site.clone(),
    };
    let mut work = Work {
        site,
        plan,
        place: &place,
        files: &files,
        journal: &noted,
    };
    let result = work.run(&mut exchange, artifact).await;
    // First, so that nothing begun in it goes on.
    let removed = helper.remove().await;
    match result {
        Ok(restored) => Ok(restored),
        Err(error) => {
            let undone = async {
                removed?;
                give_up(site, &exchange, noted.last().as_deref()).await
            };
            match undone.await {
                Ok(()) => Err(error),
                Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
                Err(_) => Err(StrategyError::Unsettled(error.into())),
            }
        }
    }
}

/// Takes back what was begun, if anything was.
pub async fn give_up(
    site: &Site,
    exchange: &Exchange,
    last: Option<&str>,
) -> Result<(), StrategyError> {
    match last {
        Some(last) => exchange.roll_back(&site.uncancelled(), last).await,
        None => Ok(()),
    }
}

/// The service as it is before: looked at, and fit for a restore.
struct Place {
    /// `None`: it does not run.
    client: Option<Client>,
    layout: Layout,
    program: &'static str,
    /// What is in its memory, in bytes.
    used: u64,
    replicas: u64,
}

impl Place {
    async fn of(site: &Site, plan: &RestorePlan) -> Result<Self, StrategyError> {
        let place = if site.container.running {
            match Self::running(site).await {
                // It starts and ends again and again.
                Err(StrategyError::Docker(
                    DockerError::NotRunning(_) | DockerError::Cut { .. },
                )) => Self::stopped(plan)?,
                place => place?,
            }
        } else {
            Self::stopped(plan)?
        };
        place.layout.must_be_on_a_volume(&site.container)?;
        Ok(place)
    }

    async fn running(site: &Site) -> Result<Self, StrategyError> {
        let (client, info) = Client::loaded(site).await?;
        must_be_whole(&info)?;
        if info.text("role") == "slave" {
            return Err(StrategyError::refused(
                "this server is a replica, which takes its data from its primary",
                "Restore to the primary.",
            ));
        }
        Ok(Self {
            layout: Layout::of(&client).await?,
            program: client.program,
            used: info.number("used_memory_dataset").unwrap_or(0),
            replicas: info.number("connected_slaves").unwrap_or(0),
            client: Some(client),
        })
    }

    /// On the worst day it does not even start: then the backup says where its data were.
    fn stopped(plan: &RestorePlan) -> Result<Self, StrategyError> {
        let source = &plan.manifest.source;
        let layout = Layout::parse(&source.subject).ok_or_else(|| {
            StrategyError::refused(
                "the service does not run, and the backup does not say where its data are",
                "Start the service, if only with no data, then restore.",
            )
        })?;
        let program = super::program_of(&source.tool);
        Ok(Self {
            client: None,
            layout,
            program,
            used: 0,
            replicas: 0,
        })
    }

    fn exchange(&self, plan: &RestorePlan) -> Result<Exchange, StrategyError> {
        // Unique even where two installations, or one that lost its database, restore to one folder.
        let (id, tag) = (plan.id, tag()?);
        Ok(Exchange {
            restore: id,
            layout: self.layout.clone(),
            folder: format!("{HIDDEN}{id}-{tag}"),
            incoming: "new".to_owned(),
            outgoing: "old".to_owned(),
            entries: Vec::new(),
            ran: self.client.is_some(),
            made_dump: false,
            keys: None,
            disposable: true,
        })
    }
}

struct Work<'a> {
    site: &'a Site,
    plan: &'a RestorePlan,
    place: &'a Place,
    files: &'a Files,
    journal: &'a Noted<'a>,
}

impl Work<'_> {
    async fn run(
        &mut self,
        exchange: &mut Exchange,
        artifact: RawStream,
    ) -> Result<Restored, StrategyError> {
        let layout = &self.place.layout;
        let folder = exchange.path();
        let title = format!("Making {folder}");
        self.journal.record(exchange.step(STAGE, title)).await?;
        let (free, log_is_there) = self.files.survey(&layout.dir, layout.log.name()).await?;
        // A log that is there although it is switched off is replaced, too: whichever of both the server
        // looks at when it starts, it holds the same.
        let with_log = layout.log_is_on || log_is_there;
        self.must_have_room(free, with_log)?;
        self.files.make(&folder).await?;

        let dump = format!("{}/{}", exchange.incoming(), layout.dump);
        let title = format!("Writing the backup to {dump}");
        self.journal.record(exchange.step(LOAD, title)).await?;
        let contents = self.files.write(&dump, artifact, self.journal).await?;
        self.must_be_as_planned(&contents)?;

        let title = "Loading the backup into a server of its own".to_owned();
        self.journal.record(exchange.step(CHECK, title)).await?;
        let incoming = exchange.incoming();
        let site = &self.files.site;
        let loaded = load::prove(
            site,
            self.place.program,
            layout,
            &incoming,
            &contents,
            with_log,
        )
        .await?;

        let total: u64 = contents.keys.values().sum();
        exchange.keys = Some((total - contents.mortal.min(total), total));
        let client = self.place.client.as_ref();
        exchange
            .perform(self.site, client, self.files, self.journal)
            .await?;
        let kept = exchange.kept(self.files).await;
        Ok(Restored {
            fingerprint: loaded.fingerprint,
            kept: Some(kept),
            warnings: self.warnings(loaded.expired),
        })
    }

    /// A server that cannot save any more refuses to be written to: that must not come from us.
    fn must_have_room(&self, free: Option<u64>, with_log: bool) -> Result<(), StrategyError> {
        let raw = self.plan.manifest.artifact.raw_bytes;
        let dump_now = if self.place.layout.log_is_on {
            0
        } else {
            self.place.used
        };
        let copies = if with_log { 2 } else { 1 };
        let needed = raw
            .saturating_mul(copies)
            .saturating_add(dump_now)
            .saturating_add(SPARE);
        match free {
            Some(free) if free < needed => Err(StrategyError::refused(
                format!(
                    "the restore needs {} MiB on the disk of the server's data, and there are {} MiB",
                    needed >> 20,
                    free >> 20
                ),
                "Free some space there.",
            )),
            _ => Ok(()),
        }
    }

    fn must_be_as_planned(&self, contents: &Contents) -> Result<(), StrategyError> {
        let found = super::fingerprint(contents);
        match self.plan.fingerprint.differences(&found, 1).first() {
            None => Ok(()),
            Some(difference) => Err(StrategyError::refused(
                format!("the artifact is not what was checked before: {difference}"),
                "Verify the artifact; its storage may be failing.",
            )),
        }
    }

    fn warnings(&self, expired: u64) -> Vec<String> {
        let layout = &self.place.layout;
        let mut warnings = Vec::new();
        if expired > 0 {
            warnings.push(format!(
                "keys whose time to live was over are not there any more: {expired}"
            ));
        }
        if !layout.log_is_on && !layout.saves {
            warnings.push(
                "this server saves nothing by itself (save is empty, appendonly no): what it starts from is now the restored dump file"
                    .to_owned(),
            );
        }
        if self.place.replicas > 0 {
            warnings.push(format!(
                "replicas take the restored data over: {}",
                self.place.replicas
            ));
        }
        warnings
    }
}

/// Remembers the last step that was recorded.
pub struct Noted<'a> {
    journal: &'a dyn Journal,
    last: std::sync::Mutex<Option<String>>,
}

impl<'a> Noted<'a> {
    pub fn new(journal: &'a dyn Journal) -> Self {
        Self {
            journal,
            last: std::sync::Mutex::default(),
        }
    }

    pub fn last(&self) -> Option<String> {
        let last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        last.clone()
    }
}

#[async_trait::async_trait]
impl Journal for Noted<'_> {
    async fn record(&self, step: Step) -> Result<(), crate::strategy::JournalClosed> {
        let name = step.name.clone();
        self.journal.record(step).await?;
        *self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(name);
        Ok(())
    }

    fn progress(&self, bytes: u64) {
        self.journal.progress(bytes);
    }
}
