//! MySQL and MariaDB, as the suite needs them.

use super::{Kind, OwnFault};
use crate::{
    bed::{Bed, docker},
    house::IsDump,
    mysql::{self, MARIADB, sql},
};

pub struct MySql;

impl Kind for MySql {
    const NAME: &'static str = "mysql";
    const IS_DUMP: IsDump = |argv| {
        let asks = |word: &String| word == "--help" || word == "--no-data";
        argv[0].ends_with("dump") && !argv.iter().any(asks)
    };

    fn start(options: &[&str]) -> Bed {
        let password = ["-e", "MARIADB_ROOT_PASSWORD=secret"];
        let bed = Bed::run(MARIADB, &[&password[..], options].concat(), &[]);
        mysql::until_ready(&bed);
        bed
    }

    fn until_ready(bed: &Bed) {
        mysql::until_ready(bed);
    }

    fn seed(bed: &Bed) {
        sql(
            bed,
            "CREATE DATABASE shop; CREATE DATABASE blog; USE shop;
            CREATE TABLE notes (i INT PRIMARY KEY, t TEXT);
            INSERT INTO notes SELECT seq, SHA2(seq, 512) FROM seq_1_to_26000;
            CREATE TABLE tags (n INT, FOREIGN KEY (n) REFERENCES notes (i));
            INSERT INTO tags VALUES (1), (2);
            CREATE VIEW few AS SELECT * FROM notes WHERE i < 10;
            CREATE TRIGGER mark BEFORE INSERT ON notes FOR EACH ROW SET NEW.t = CONCAT(NEW.t, ';');
            CREATE FUNCTION plus(a INT) RETURNS INT RETURN a + 1;
            CREATE EVENT later ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM notes WHERE i < 0;
            CREATE TABLE blog.posts (i INT PRIMARY KEY); INSERT INTO blog.posts VALUES (1), (2);",
        );
    }

    fn change(bed: &Bed) {
        sql(
            bed,
            "USE shop; DELETE FROM notes WHERE i % 7 = 0; UPDATE notes SET t = 'changed' WHERE i % 5 = 0;
            CREATE OR REPLACE TABLE added (i INT); DROP TRIGGER IF EXISTS mark; DROP FUNCTION IF EXISTS plus;
            CREATE OR REPLACE FUNCTION minus(a INT) RETURNS INT RETURN a - 1;
            CREATE OR REPLACE TRIGGER other BEFORE INSERT ON tags FOR EACH ROW SET NEW.n = 1;
            DROP TABLE IF EXISTS blog.posts; CREATE OR REPLACE VIEW blog.posts AS SELECT i FROM shop.notes;",
        );
    }

    fn destroy(bed: &Bed) {
        sql(bed, "DROP DATABASE shop; DROP DATABASE blog;");
    }

    fn digest(bed: &Bed) -> String {
        mysql::digest(bed)
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        mysql::leftovers(bed)
    }

    fn faults() -> Vec<OwnFault> {
        fn login(bed: &Bed, before: &str, after: &str) {
            let change = format!("ALTER USER root@localhost IDENTIFIED BY '{after}'");
            let password = format!("MYSQL_PWD={before}");
            docker(&[
                "exec", "-e", &password, &bed.name, "mariadb", "-uroot", "-e", &change,
            ]);
        }
        vec![
            OwnFault {
                name: "wrong password",
                make: |bed| login(bed, "secret", "changed"),
                mend: |bed| login(bed, "changed", "secret"),
                says: &["password in the config"],
            },
            OwnFault {
                name: "a view of a table that is gone",
                make: |bed| {
                    sql(
                        bed,
                        "CREATE TABLE shop.gone (i INT); CREATE VIEW shop.broken AS SELECT * FROM shop.gone; DROP TABLE shop.gone",
                    );
                },
                mend: |bed| {
                    sql(bed, "DROP VIEW shop.broken");
                },
                says: &["mend it"],
            },
        ]
    }
}
