//! MongoDB, as the suite needs it.

use std::collections::BTreeMap;

use holdfast::app::ConfigInput;

use super::{Kind, OwnFault};
use crate::{
    bed::Bed,
    house::IsDump,
    mongo::{self, python},
};

pub struct Mongo;

fn fail_point(bed: &Bed, mode: &str, command: &str, data: &str) {
    let point = format!("fail(mode={mode}, failCommands=['{command}'], {data})");
    python(bed, &point);
}

/// The real mongodump does, in one of five, when a collection cannot be read, and takes the cause with it.
const CRASH: &str = "mongodump crashed: send on closed channel";

impl Kind for Mongo {
    const NAME: &'static str = "mongo";
    const IS_DUMP: IsDump =
        |argv| argv[0] == "mongodump" && argv.get(1).is_none_or(|word| word != "--version");

    fn start(options: &[&str]) -> Bed {
        let login = [
            "-e",
            "MONGO_INITDB_ROOT_USERNAME=root",
            "-e",
            "MONGO_INITDB_ROOT_PASSWORD=secret",
        ];
        mongo::start(&[&login[..], options].concat(), &[])
    }

    fn until_ready(bed: &Bed) {
        mongo::until_ready(bed);
    }

    fn seed(bed: &Bed) {
        python(bed, mongo::SEED);
    }

    fn change(bed: &Bed) {
        python(bed, mongo::CHANGE);
    }

    fn destroy(bed: &Bed) {
        python(bed, "client.run('shop', SON(dropDatabase=1))");
    }

    fn digest(bed: &Bed) -> String {
        mongo::digest(bed)
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        mongo::leftovers(bed)
    }

    fn configure(input: &mut ConfigInput) {
        input.options = Some(BTreeMap::from([("database".to_owned(), "shop".to_owned())]));
    }

    fn faults() -> Vec<OwnFault> {
        vec![
            OwnFault {
                name: "database missing",
                make: |bed| {
                    python(bed, "for c in client.collections('shop'):
    if c['type'] != 'view': client.run('admin', SON(renameCollection='shop.' + c['name'], to='away.' + c['name']))
client.run('shop', SON(drop='cheap'))");
                },
                mend: |bed| {
                    python(
                        bed,
                        "for c in client.collections('away'):
    client.run('admin', SON(renameCollection='away.' + c['name'], to='shop.' + c['name']))",
                    );
                },
                says: &["no database shop"],
            },
            OwnFault {
                name: "reading refused",
                make: |bed| fail_point(bed, "'alwaysOn'", "find", "errorCode=13"),
                mend: |bed| fail_point(bed, "'off'", "find", "errorCode=13"),
                says: &["failing command find", CRASH],
            },
            OwnFault {
                name: "reading refused after the first batch",
                make: |bed| fail_point(bed, "SON(skip=0)", "getMore", "errorCode=11601"),
                mend: |bed| fail_point(bed, "'off'", "getMore", "errorCode=11601"),
                says: &["failing command getmore", CRASH],
            },
        ]
    }
}
