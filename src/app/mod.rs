//! The use cases: what web, API, jobs and command line may ask of Holdfast, one method each. All
//! of them go through the log; none of them knows who asks beyond the `Caller` it is given.

mod access;
mod activity;
mod admission;
mod apps;
mod auth;
mod backup;
mod bundle;
mod caller;
mod changes;
mod composed;
mod configs;
mod copies;
mod coverage;
mod deliveries;
mod delivery_log;
mod detect;
mod drafts;
mod encryption;
mod error;
mod hooks;
mod inside;
mod journal;
mod labelled;
pub mod own;
mod pings;
mod place;
mod proof;
mod pruning;
mod reconcile;
mod recovery;
mod refusals;
mod restore;
mod restores;
mod retention;
mod rotation;
mod runs;
mod second_factor;
mod sessions;
mod settle;
mod shipping;
mod sites;
mod slots;
mod sso;
mod system;
mod tokens;
mod trial;
mod triggers;
mod undo;
mod uploads;
mod users;
mod vault;
mod verifications;
mod webhooks;
mod whereabouts;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::{
    access::NewToken,
    activity::{Export, Span},
    auth::random_token,
    bundle::recovery_keys,
    caller::Caller,
    changes::Change,
    configs::{Artifacts, ConfigInput, KeepInput, MASK},
    copies::CopyInput,
    coverage::Unprotected,
    deliveries::Delivery,
    detect::{Detection, Origin, Project, Service},
    drafts::{Fields, Found as FoundDraft},
    encryption::{EncryptionInput, new_key},
    error::AppError,
    pruning::{DetailPlace, Kept, PruneReport},
    reconcile::{Compared, Difference, Expected, Lack, Remains, Stray},
    recovery::{Adopted, LostSecret},
    restores::{Preview, RestoreInput},
    retention::RetentionPreview,
    rotation::{Rotated, newest_rotation},
    runs::Download,
    second_factor::Enrolment,
    sessions::{NewSession, OpenSession},
    shipping::{Shipment, read_segment, segments},
    sso::{Arrival, Purpose, SsoAnswer, SsoProblem, SsoSettings},
    system::{Check, Verdict},
    tokens::Token,
    trial::Trials,
    triggers::{Call, IssuedTrigger},
    uploads::{Received, UploadInput},
    users::{GrantInput, UserChange},
    vault::{MasterKey, Vault, write_private},
    webhooks::{SavedWebhook, WebhookInput},
    whereabouts::Whereabout,
};
use self::{auth::Throttle, sites::ServiceLocks};
use crate::{
    docker::Engine,
    engine::progress::Hub,
    log::Log,
    target::{Place, Target},
};

/// Passwords that are hashed at the same time.
const HASHERS: usize = 2;

pub type Result<T, E = AppError> = std::result::Result<T, E>;

/// What the server was told at its start that use cases need.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the database, the keys and the local target lie.
    pub data_dir: PathBuf,
    /// A dump that moves no byte for this long has failed.
    pub stall: Duration,
    /// The same of a connection to a target.
    pub target_stall: Duration,
    /// Backups at work at the same time, on the engine that this server has.
    pub backups: usize,
    /// How many of them write to the same target; as many as there are when `None`.
    pub backups_per_target: Option<usize>,
    /// How long a restore's undo is kept.
    pub keep_undo: Duration,
    /// How often a backup is tried, at most [`MAX_FAILURES`](crate::domain::run::MAX_FAILURES).
    pub attempts: u32,
    /// Pause before the first retry; doubled with each, up to `retry_max`, half of it random.
    pub retry_base: Duration,
    pub retry_max: Duration,
    /// A good artifact that was not read for this long is verified again; never when zero.
    pub verify_every: Duration,
    /// Detail of audit events older than so many days is pruned; never when `None`.
    pub audit_detail_days: Option<u32>,
    /// Whether hooks may run commands in containers. Only the server's own configuration says so.
    pub exec_hooks: bool,
    /// Whether targets may lie at private addresses. Only the server's own configuration says so.
    pub private_targets: bool,
    /// Whether webhooks may go to addresses of private networks. Only the server's own configuration says
    /// so.
    pub private_webhooks: bool,
    /// Public keys of age that the vault is encrypted to where it leaves the host; it stays when empty. Only
    /// the server's own configuration says so: whoever named one could read every secret.
    pub recovery_keys: Vec<String>,
    /// Where people reach the pages: `https://backup.example.org`. Links in messages begin with it.
    pub public_url: Option<String>,
    /// Where else people may log in.
    pub sso: Option<SsoSettings>,
}

impl Settings {
    /// What is usual of `backups`: a dump keeps a core and a disk busy.
    pub const BACKUPS: usize = 4;

    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            stall: Duration::from_secs(5 * 60),
            target_stall: Duration::from_secs(60),
            backups: Self::BACKUPS,
            backups_per_target: None,
            keep_undo: Duration::from_secs(24 * 60 * 60),
            attempts: crate::domain::run::MAX_FAILURES,
            retry_base: Duration::from_secs(10),
            retry_max: Duration::from_secs(10 * 60),
            verify_every: Duration::ZERO,
            audit_detail_days: None,
            exec_hooks: false,
            private_targets: false,
            private_webhooks: false,
            recovery_keys: Vec::new(),
            public_url: None,
            sso: None,
        }
    }
}

/// Puts something around a target: a retry, a limit, a fault.
pub type Decorator = Arc<dyn Fn(Arc<dyn Target>) -> Arc<dyn Target> + Send + Sync>;

/// Handle to the whole application; cheap to clone.
#[derive(Clone)]
pub struct Holdfast(Arc<Inner>);

struct Inner {
    log: Log,
    engine: Arc<dyn Engine>,
    vault: Vault,
    hub: Hub,
    place: Place,
    settings: Settings,
    services: ServiceLocks,
    admission: Arc<admission::Admission>,
    throttle: Throttle,
    refusals: refusals::Refusals,
    tickets: second_factor::Tickets,
    drafts: drafts::Drafts,
    sso: Option<sso::Sso>,
    calls: triggers::Calls,
    coming: slots::Coming,
    seen: coverage::Seen,
    pace: verifications::Pace,
    shipped: shipping::Shipped,
    /// Read while the log is exported, written while it is pruned.
    exports: Arc<tokio::sync::RwLock<()>>,
    kept_detail: pruning::LastKept,
    /// Rung when something is to be told to webhooks.
    letters: tokio::sync::Notify,
    /// Held while labels are heeded, or two looks at once would make two configs.
    labels: tokio::sync::Mutex<()>,
    receiving: uploads::Receiving,
    /// Turns at hashing passwords.
    hashing: Semaphore,
    jobs: Arc<sites::RunningJobs>,
    /// Cancelled when the grace time of a shutdown is over: work is interrupted, not failed.
    interrupt: CancellationToken,
    /// Wraps every target that is opened: for what belongs to all of them.
    decorate: Option<Decorator>,
    /// Bearer of the command line on this host, new with each start; never stored in the database.
    cli_token: crate::domain::secret::Secret,
}

impl Holdfast {
    pub fn new(
        log: Log,
        engine: Arc<dyn Engine>,
        vault: Vault,
        settings: Settings,
        decorate: Option<Decorator>,
    ) -> Self {
        let place = Place {
            local_root: settings.data_dir.join("backups"),
            stall: settings.target_stall,
            private_addresses: settings.private_targets,
        };
        Self(Arc::new(Inner {
            log,
            engine,
            vault,
            hub: Hub::new(),
            place,
            admission: admission::Admission::new(&settings),
            sso: settings.sso.clone().map(sso::Sso::new),
            settings,
            services: ServiceLocks::default(),
            throttle: Throttle::default(),
            refusals: refusals::Refusals::default(),
            tickets: second_factor::Tickets::default(),
            drafts: drafts::Drafts::default(),
            calls: triggers::Calls::default(),
            coming: slots::Coming::default(),
            seen: coverage::Seen::default(),
            pace: verifications::Pace::default(),
            shipped: shipping::Shipped::default(),
            exports: Arc::default(),
            kept_detail: pruning::LastKept::default(),
            letters: tokio::sync::Notify::new(),
            labels: tokio::sync::Mutex::new(()),
            receiving: uploads::Receiving::default(),
            hashing: Semaphore::new(HASHERS),
            jobs: Arc::default(),
            interrupt: CancellationToken::new(),
            decorate,
            cli_token: auth::random_token("hfc"),
        }))
    }

    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// How far running jobs are.
    pub fn progress(&self) -> &Hub {
        &self.0.hub
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What the command line on this host shows to the server.
    pub fn cli_token(&self) -> &crate::domain::secret::Secret {
        &self.0.cli_token
    }

    /// Ends the grace time of a shutdown: every running job is interrupted at its next chunk.
    pub fn interrupt(&self) {
        self.0.interrupt.cancel();
    }

    /// No backup that waits begins any more: the next start takes it up.
    pub fn admit_no_more(&self) {
        self.0.admission.close();
    }

    /// Backups at work, and backups that wait for others.
    pub fn backups_at_work(&self) -> (usize, usize) {
        self.0.admission.count()
    }

    fn db(&self) -> &sea_orm::DatabaseConnection {
        self.0.log.db()
    }
}
