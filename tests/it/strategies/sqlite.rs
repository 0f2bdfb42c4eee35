//! SQLite, as the suite needs it: a database in WAL mode on a volume, with a `sqlite3` in the image.

use holdfast::app::ConfigInput;

use super::{Kind, OwnFault, volume::helper_of};
use crate::{
    bed::{Bed, SQLITE_APP, docker},
    house::IsDump,
};

pub struct Sqlite;

pub fn is_read(argv: &[String]) -> bool {
    argv[0] == "cat" && argv[1].starts_with("/holdfast-scratch")
}

fn sql(bed: &Bed, statements: &str) {
    let words = [
        "exec",
        &bed.name,
        "sqlite3",
        "-bail",
        "/data/app.db",
        statements,
    ];
    docker(&words);
}

impl Kind for Sqlite {
    const NAME: &'static str = "sqlite";
    const IS_DUMP: IsDump = is_read;

    fn start(options: &[&str]) -> Bed {
        Bed::run(SQLITE_APP, options, &["sleep", "3600"])
    }

    fn until_ready(_bed: &Bed) {}

    fn seed(bed: &Bed) {
        bed.sh("chown 33:34 /data");
        sql(
            bed,
            "PRAGMA journal_mode=WAL; \
             CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT, pad BLOB); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) \
             INSERT INTO notes SELECT i, 'n' || i, randomblob(150) FROM n; \
             CREATE INDEX by_t ON notes(t); CREATE VIEW few AS SELECT * FROM notes WHERE id < 9; \
             CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES('hello world'); \
             CREATE TRIGGER tr AFTER DELETE ON notes BEGIN INSERT INTO words VALUES('gone'); END;",
        );
        bed.sh("chown 33:34 /data/app.db");
    }

    fn change(bed: &Bed) {
        sql(
            bed,
            "DELETE FROM notes WHERE id % 7 = 0; UPDATE notes SET t = 'changed' WHERE id % 5 = 0; \
             CREATE TABLE later(i); DROP VIEW few;",
        );
    }

    fn destroy(bed: &Bed) {
        bed.sh("rm -f /data/app.db*");
    }

    fn digest(bed: &Bed) -> String {
        bed.sh(
            "cd /data; [ -f app.db ] || exec echo none; stat -c %u:%g app.db; \
             sqlite3 app.db 'PRAGMA journal_mode' 'PRAGMA integrity_check' .dump | sha256sum",
        )
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        let found = bed.sh("find / -xdev -name '*holdfast-*'; find /data -name '.holdfast-*'");
        let helpers = docker(&["ps", "-aq", "--filter", &helper_of(bed)]);
        let all = found.lines().chain(helpers.lines());
        all.map(ToOwned::to_owned).collect()
    }

    fn configure(input: &mut ConfigInput) {
        input.paths = Some(vec!["/data/app.db".to_owned()]);
    }

    fn faults() -> Vec<OwnFault> {
        fn aside(bed: &Bed, then: &str) {
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE);";
            sql(bed, checkpoint);
            bed.sh(&format!("cd /data; cp -p app.db kept; {then}"));
        }
        fn back(bed: &Bed) {
            bed.sh("cd /data; rm -f app.db*; mv kept app.db");
        }
        vec![
            OwnFault {
                name: "database missing",
                make: |bed| aside(bed, "rm app.db"),
                mend: back,
                says: &["/data/app.db is not there"],
            },
            OwnFault {
                name: "database empty",
                make: |bed| aside(bed, ": > app.db"),
                mend: back,
                says: &["no SQLite database"],
            },
            OwnFault {
                name: "no database",
                make: |bed| aside(bed, "echo SQLite format 4 > app.db"),
                mend: back,
                says: &["no SQLite database"],
            },
            OwnFault {
                name: "database damaged",
                make: |bed| {
                    aside(
                        bed,
                        "dd if=/dev/urandom of=app.db bs=4096 seek=20 count=30 conv=notrunc",
                    );
                },
                mend: back,
                says: &["damaged"],
            },
            OwnFault {
                name: "database cut off",
                make: |bed| aside(bed, "truncate -s 200000 app.db"),
                mend: back,
                says: &[""],
            },
        ]
    }
}
