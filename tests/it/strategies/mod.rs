//! The suite that every strategy passes, over its real engine. What a kind of service has to tell about
//! itself is `Kind`; what is special to one is proved in a module of its own.
//!
//! One more strategy costs a file here and a line at the end of this one.

mod by_hand;
mod lies;
mod mongo;
mod mysql;
mod postgres;
mod redis;
mod round_trip;
pub mod sqlite;
mod steps;
mod volume;

pub use self::sqlite::Sqlite;

use std::collections::BTreeMap;

use holdfast::{
    app::ConfigInput,
    domain::ids::ConfigId,
    strategy::{self, Options, Strategy},
};

use crate::{
    bed::Bed,
    house::{House, IsDump},
};

/// One kind of service. Content means all that a backup of it should hold.
pub trait Kind: Send + Sync + 'static {
    /// Of the strategy, as in configs.
    const NAME: &'static str;

    /// Starts one with these `docker run` options, ready to serve and empty.
    fn start(options: &[&str]) -> Bed;

    /// Waits until it serves, after it was started again.
    fn until_ready(bed: &Bed);

    /// Fills it. The dump stays above 400 kB when it is compressed; that of a service which has to run
    /// for it is more than the engine holds back for a reader who waits, some 1.6 MB.
    fn seed(bed: &Bed);

    /// Other content: some things changed, some gone, some new; durable when it returns.
    fn change(bed: &Bed);

    /// As little content as can be.
    fn destroy(bed: &Bed);

    /// Of all content, in no order.
    fn digest(bed: &Bed) -> String;

    /// Whatever a restore may have set aside or begun: nothing when everything was forgotten.
    fn leftovers(bed: &Bed) -> Vec<String>;

    /// Whether this command line, run in the service or a helper, writes the dump.
    const IS_DUMP: IsDump;

    /// Without so many of its last bytes a dump is not whole.
    const END: usize = 60;

    /// What a config of it needs besides service and strategy.
    fn configure(_input: &mut ConfigInput) {}

    /// More ways to fail: only this kind of service can be brought to them.
    fn faults() -> Vec<OwnFault>;
}

/// A way to fail, and out of it.
pub struct OwnFault {
    pub name: &'static str,
    pub make: fn(&Bed),
    pub mend: fn(&Bed),
    /// Words: the run's failure must hold one of them.
    pub says: &'static [&'static str],
}

pub fn find<K: Kind>() -> &'static dyn Strategy {
    strategy::find(K::NAME).unwrap()
}

/// A service of the compose project `test`, not empty, ready.
fn start_seeded<K: Kind>(project: &str) -> Bed {
    let project = format!("com.docker.compose.project={project}");
    let service = "com.docker.compose.service=db";
    let bed = K::start(&["--label", &project, "--label", service]);
    K::seed(&bed);
    bed
}

/// The whole application, with the service as its app `shop` and a config for it.
struct Scene<K> {
    house: House,
    bed: Bed,
    config: ConfigId,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> Scene<K> {
    async fn set(test: &str) -> Self {
        Self::within(House::of(K::IS_DUMP).await, test).await
    }

    async fn within(house: House, test: &str) -> Self {
        let project = format!("{test}-{}-{}", K::NAME, std::process::id());
        let bed = start_seeded::<K>(&project);
        house.app("shop", &project).await;
        let config = house.config("shop", configure::<K>).await;
        Self {
            house,
            bed,
            config,
            kind: std::marker::PhantomData,
        }
    }
}

fn configure<K: Kind>(input: &mut ConfigInput) {
    input.strategy = Some(K::NAME.to_owned());
    // Files are counted before and after each case: retention would delete some meanwhile.
    input.retention_count = Some(1000);
    K::configure(input);
}

/// The same for a strategy that is driven directly.
fn options<K: Kind>() -> Options {
    let mut input = ConfigInput::default();
    configure::<K>(&mut input);
    Options {
        plain: input.options.unwrap_or_default(),
        credentials: input.credentials.unwrap_or_else(BTreeMap::new),
        paths: input.paths.unwrap_or_default(),
    }
}

/// One test a subject and kind.
macro_rules! suite {
    ($($module:ident: $kind:ty),* $(,)?) => {
        $(mod $module {
            #[tokio::test(flavor = "multi_thread")]
            async fn what_was_backed_up_comes_back_and_nothing_else() {
                super::super::round_trip::round_trip::<$kind>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn promise_09_no_failure_of_a_backup_ends_green() {
                super::super::lies::lies::<$kind>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn promise_02_a_restore_that_fails_at_any_step_changes_nothing() {
                super::super::steps::steps::<$kind>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn the_manifests_own_commands_restore_without_holdfast() {
                super::super::by_hand::by_hand::<$kind>().await;
            }
        })*
    };
}

mod suites {
    suite! {
        mongo: super::super::mongo::Mongo,
        postgres: super::super::postgres::Postgres,
        redis: super::super::redis::Redis,
        sqlite: super::super::sqlite::Sqlite,
        volume: super::super::volume::Volume,
        mysql: super::super::mysql::MySql,
    }
}
