//! Hooks that know a database: a lock that is truly held, a save that is truly on disk.

use std::process::{Command, Stdio};

use super::*;
use crate::mysql;

const SQL: &[(&str, &str)] = &[
    ("holdfast-test/mariadb:10.11", "mariadb"),
    ("holdfast-test/mariadb:11-names", "mariadb"),
    ("holdfast-test/mysql:8-names", "mysql"),
];
const REDIS: &str = "holdfast-test/redis:7";
const PASSWORD: &str = "s3cr3t $ \" ' pw";

/// A MySQL or MariaDB beside the shop's database.
struct Sql {
    bed: Bed,
    client: &'static str,
}

impl Sql {
    fn new(shop: &Shop, image: &str, client: &'static str) -> Self {
        let password = format!("MYSQL_ROOT_PASSWORD={PASSWORD}");
        let bed = service(image, &shop.project, "sql", &["-e", &password], &[]);
        tokio::task::block_in_place(|| mysql::until_ready(&bed));
        let sql = Self { bed, client };
        sql.ask("CREATE DATABASE app; CREATE TABLE app.orders(id INT PRIMARY KEY)");
        sql
    }

    fn asks(&self, more: &[&str], sql: &str) -> Result<String, String> {
        let password = format!("MYSQL_PWD={PASSWORD}");
        let fixed = [
            "exec",
            "-e",
            &password,
            &self.bed.name,
            self.client,
            "-uroot",
            "-BN",
        ];
        let done = Command::new("docker")
            .args([&fixed[..], more, &["-e", sql]].concat())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() {
            Ok(text(&done.stdout))
        } else {
            Err(text(&done.stderr))
        }
    }

    fn ask(&self, sql: &str) -> String {
        self.asks(&[], sql).unwrap()
    }

    /// A writer that waits a second for its turn.
    fn write(&self, id: u32) -> Result<String, String> {
        let write = format!("SET lock_wait_timeout = 1; INSERT INTO app.orders VALUES ({id})");
        self.asks(&[], &write)
    }

    /// The session that holds the lock: the one that is not ours and does nothing.
    fn holder(&self) -> String {
        self.ask(
            "SELECT id FROM information_schema.processlist \
             WHERE user = 'root' AND command = 'Sleep' LIMIT 1",
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_as_long_as_the_data_is_read() {
    let shop = Shop::new("lock").await;
    let config = |service: &str| shop.config(vec![hook("flush_mysql", service)], vec![]);
    for (number, (image, client)) in SQL.iter().enumerate() {
        let sql = Sql::new(&shop, image, client);
        sql.write(1).unwrap();
        let config = config("sql").await;
        let holder = shop.hold_dumps();
        let id = shop.house.request(config).await;
        holder.until_a_dump_waits();
        let refused = sql.write(2).expect_err("a writer is held up");
        assert!(refused.contains("1205"), "{image}: {refused}");
        assert_eq!(
            sql.ask("SELECT count(*) FROM app.orders"),
            "1",
            "readers are served"
        );
        holder.end();
        let run = shop.house.run_over(id).await;
        assert_eq!(run.status, "success", "{image}: {run:?}");
        sql.write(3).expect("writers are free again");
        let left = sql.holder();
        assert_eq!(left, "", "{image}: a session was left");
        if number == 0 {
            a_lost_lock_ends_the_run(&shop, &sql, config).await;
            a_lock_that_does_not_come_in_time(&shop, &sql).await;
            no_password_in_sight(&shop, &sql, config).await;
        }
        println!("figure: hooks: {image}: lock held during the dump, free after it");
    }
    shop.house.close().await;
}

async fn a_lost_lock_ends_the_run(shop: &Shop, sql: &Sql, config: ConfigId) {
    let holder = shop.hold_dumps();
    let id = shop.house.request(config).await;
    holder.until_a_dump_waits();
    // Each attempt loses its lock; the dump itself is held, so only the watch can end it.
    let mut attempt = 0;
    let run = loop {
        let next = |run: &runs::Model| run.status == "running" && run.attempt > attempt;
        let so = |run: &runs::Model| run.is_over() || next(run);
        let run = shop.house.run_when(id, so).await;
        if run.is_over() {
            break run;
        }
        attempt = run.attempt;
        // Now it has its lock: before that another complaint would come.
        holder.until_a_dump_waits();
        let mut session = String::new();
        bed::until("the lock's session is idle", || {
            session = sql.holder();
            !session.is_empty()
        })
        .await;
        let _ = sql.asks(&[], &format!("KILL {session}"));
    };
    assert!(attempt > 1, "{run:?}");
    assert_eq!(run.status, "failed", "{run:?}");
    let message = run.error_msg.unwrap();
    assert!(
        message.contains("was lost before the data was out"),
        "{message}"
    );
    holder.end();
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "success", "the next one is green: {run:?}");
}

/// A statement that runs for long keeps the lock away; writers may queue behind it only so long.
async fn a_lock_that_does_not_come_in_time(shop: &Shop, sql: &Sql) {
    let short = Hook {
        timeout: Some(2),
        ..hook("flush_mysql", "sql")
    };
    let config = shop.config(vec![short], vec![]).await;
    let password = format!("MYSQL_PWD={PASSWORD}");
    let lock = "LOCK TABLES app.orders WRITE; SELECT SLEEP(60)";
    let mut writer = Command::new("docker")
        .args([
            "exec",
            "-e",
            &password,
            &sql.bed.name,
            sql.client,
            "-uroot",
            "-e",
            lock,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sleeps = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'";
    bed::until("the writer has its lock", || sql.ask(sleeps) == "1").await;
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "failed");
    let message = run.error_msg.unwrap();
    assert!(
        message.contains("pre_hooks[0] (flush_mysql of sql)"),
        "{message}"
    );
    let waits = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'FLUSH%'";
    bed::until("nobody waits for the lock any more", || {
        sql.ask(waits) == "0"
    })
    .await;
    let end = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'";
    let id = sql.ask(end);
    sql.ask(&format!("KILL {id}"));
    let _ = writer.wait();
    sql.write(4).unwrap();
}

async fn no_password_in_sight(shop: &Shop, sql: &Sql, config: ConfigId) {
    sql.ask("ALTER USER root@localhost IDENTIFIED BY 'another'");
    let run = shop.house.back_up(config).await;
    let change = format!("MYSQL_PWD={}", "another");
    let back = format!(
        "ALTER USER root@localhost IDENTIFIED BY '{}'",
        PASSWORD.replace('\'', "''")
    );
    docker(&[
        "exec",
        "-e",
        &change,
        &sql.bed.name,
        sql.client,
        "-uroot",
        "-e",
        &back,
    ]);
    assert_eq!(run.status, "failed");
    let all = format!("{run:?} {:?}", shop.reports(run.run_id()).await);
    assert!(all.contains("Access denied"), "{all}");
    assert!(!all.contains("s3cr3t"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_on_its_disk() {
    let shop = Shop::new("redis").await;
    let command = ["redis-server", "--save", "", "--requirepass", PASSWORD];
    let password = format!("REDIS_PASSWORD={PASSWORD}");
    let cache = service(REDIS, &shop.project, "cache", &["-e", &password], &command);
    let auth = format!("REDISCLI_AUTH={PASSWORD}");
    let ask = |words: &[&str]| {
        docker(&[&["exec", "-e", &auth, &cache.name, "redis-cli"], words].concat())
    };
    bed::until("redis answers", || {
        let ping = ["exec", "-e", &auth, &cache.name, "redis-cli", "ping"];
        let answer = Command::new("docker").args(ping).output().unwrap();
        answer.stdout.starts_with(b"PONG")
    })
    .await;
    let config = shop
        .config(vec![hook("flush_redis", "cache")], vec![])
        .await;
    for number in 0..3 {
        let mark = format!("mark-{number}");
        ask(&["SET", &mark, &mark]);
        let run = shop.house.back_up(config).await;
        assert_eq!(run.status, "success", "{run:?}");
        let found = cache.sh(&format!("grep -c {mark} /data/dump.rdb"));
        assert_eq!(found, "1", "what was set before is on disk");
    }
    // A save that fails is no flush.
    cache.sh("chmod 555 /data");
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "failed", "{run:?}");
    let message = run.error_msg.unwrap();
    assert!(message.contains("could not save"), "{message}");
    cache.sh("chmod 755 /data");
    ask(&["CONFIG", "SET", "requirepass", "another"]);
    let run = shop.house.back_up(config).await;
    let message = run.error_msg.clone().unwrap();
    assert!(message.contains("did not save"), "{message}");
    assert!(
        run.hint.clone().unwrap().contains("REDIS_PASSWORD"),
        "{run:?}"
    );
    let all = format!("{run:?} {:?}", shop.reports(run.run_id()).await);
    assert!(!all.contains("s3cr3t"), "{all}");
    shop.house.close().await;
}
