//! Redis, as the suite needs it; and restores of a server that starts from its append-only log.

use super::{Kind, OwnFault};
use crate::{
    bed::{Bed, docker},
    house::IsDump,
    redis::place::REDIS_7,
};

pub struct Redis;

/// More than engine and sockets hold between a program and us (the engine alone holds 1 MB): a transfer
/// that is held up must not end before its server does.
const FILL: &str = "for i = 1, 40000 do redis.call('set', 'key:' .. i, redis.sha1hex(i) .. redis.sha1hex(-i)) end \
    redis.call('select', 3) redis.call('hset', 'hash', 'a', 1) redis.call('rpush', 'list', 'a', 'b')";
const CHANGE: &str = "for i = 1, 40000, 7 do redis.call('del', 'key:' .. i) end \
    for i = 1, 40000, 5 do redis.call('set', 'key:' .. i, 'changed') end redis.call('set', 'later', 1)";

fn cli(bed: &Bed, words: &[&str]) -> String {
    let said = docker(&[&["exec", &bed.name, "redis-cli"], words].concat());
    assert!(
        !said.starts_with("ERR") && !said.starts_with("NO"),
        "{words:?}: {said}"
    );
    said
}

fn start(options: &[&str], server: &[&str]) -> Bed {
    // Transfers begin at once, and digests may be asked for.
    let always = [
        "--repl-diskless-sync-delay",
        "0",
        "--enable-debug-command",
        "yes",
    ];
    let bed = Bed::run(REDIS_7, options, &[&always, server].concat());
    Redis::until_ready(&bed);
    bed
}

impl Kind for Redis {
    const NAME: &'static str = "redis";
    const IS_DUMP: IsDump =
        |argv| argv[0] == "redis-cli" && argv.iter().any(|word| word == "--rdb");
    /// The mark that ends the transfer comes after what is kept.
    const END: usize = 1;

    fn start(options: &[&str]) -> Bed {
        start(options, &[])
    }

    fn until_ready(bed: &Bed) {
        bed.sh("until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.02; done");
    }

    fn seed(bed: &Bed) {
        cli(bed, &["EVAL", FILL, "0"]);
        cli(bed, &["SAVE"]);
    }

    fn change(bed: &Bed) {
        cli(bed, &["EVAL", CHANGE, "0"]);
        cli(bed, &["SAVE"]);
    }

    fn destroy(bed: &Bed) {
        cli(bed, &["FLUSHALL"]);
    }

    fn digest(bed: &Bed) -> String {
        cli(bed, &["DEBUG", "DIGEST"])
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        let found = bed.sh("find /data /tmp -name '.holdfast*' -o -name 'holdfast*'");
        found.lines().map(ToOwned::to_owned).collect()
    }

    fn faults() -> Vec<OwnFault> {
        fn acl(bed: &Bed, rule: &str) {
            cli(bed, &["ACL", "SETUSER", "default", rule]);
        }
        vec![
            OwnFault {
                name: "password changed",
                make: |bed| drop(cli(bed, &["CONFIG", "SET", "requirepass", "changed"])),
                mend: |bed| {
                    drop(bed.sh("REDISCLI_AUTH=changed redis-cli config set requirepass ''"));
                },
                says: &["noauth"],
            },
            OwnFault {
                name: "user without the right",
                make: |bed| acl(bed, "-sync"),
                mend: |bed| acl(bed, "+sync"),
                says: &["+sync"],
            },
            OwnFault {
                name: "replica without a primary",
                make: |bed| drop(cli(bed, &["REPLICAOF", "127.0.0.1", "1"])),
                mend: |bed| drop(cli(bed, &["REPLICAOF", "NO", "ONE"])),
                says: &["not connected"],
            },
            OwnFault {
                name: "client missing",
                make: |bed| drop(bed.sh("mv /usr/bin/redis-cli /usr/bin/away")),
                mend: |bed| drop(bed.sh("mv /usr/bin/away /usr/bin/redis-cli")),
                says: &["not in the image"],
            },
        ]
    }
}

/// A server that starts from its log: there what is restored has to become a log first.
struct WithLog;

impl Kind for WithLog {
    const NAME: &'static str = Redis::NAME;
    const IS_DUMP: IsDump = Redis::IS_DUMP;

    fn start(options: &[&str]) -> Bed {
        start(options, &["--appendonly", "yes", "--save", ""])
    }

    fn until_ready(bed: &Bed) {
        Redis::until_ready(bed);
    }

    fn seed(bed: &Bed) {
        cli(bed, &["EVAL", FILL, "0"]);
    }

    fn change(bed: &Bed) {
        cli(bed, &["EVAL", CHANGE, "0"]);
    }

    fn destroy(bed: &Bed) {
        Redis::destroy(bed);
    }

    fn digest(bed: &Bed) -> String {
        Redis::digest(bed)
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        Redis::leftovers(bed)
    }

    fn faults() -> Vec<OwnFault> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_02_nor_does_one_of_redis_with_a_log() {
    super::steps::steps::<WithLog>().await;
}
