//! A server in a container, and what the tests do with it: everything by its own client.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use holdfast::{
    domain::secret::Secret,
    strategy::{self, Options, Site, Strategy},
};

use crate::{
    bed::{Bed, docker},
    workbench,
};

pub const REDIS_7: &str = "holdfast-test/redis:7";
pub const REDIS_8: &str = "holdfast-test/redis:8";
pub const VALKEY: &str = "holdfast-test/valkey:8";

/// For all test servers: transfers begin at once, and digests may be asked for.
const ALWAYS: [&str; 4] = [
    "--repl-diskless-sync-delay",
    "0",
    "--enable-debug-command",
    "yes",
];

/// Keys of every type and encoding in three databases, 50,000 in all.
pub const EVERYTHING: &str = r"
local function fill(db, strings)
  redis.call('select', db)
  for i = 1, strings do redis.call('set', 'string:' .. i, redis.sha1hex(db .. i)) end
  redis.call('set', 'number', 12345)
  redis.call('set', 'small', -7)
  redis.call('set', 'large', '123456789012')
  redis.call('set', 'empty', '')
  redis.call('set', 'packed', string.rep('hold fast ', 20000))
  local bytes = {}
  for i = 0, 255 do bytes[i + 1] = string.char(i) end
  local bytes = table.concat(bytes)
  redis.call('set', bytes, bytes .. bytes)
  redis.call('set', '\r\nSET owned 1\r\n', '$(touch /tmp/owned)')
  redis.call('setbit', 'bits', 100003, 1)
  redis.call('pfadd', 'about', 'a', 'b', 'c')
  for i = 1, 5 do
    redis.call('rpush', 'list:few', i)
    redis.call('sadd', 'set:numbers', i * 1000)
    redis.call('sadd', 'set:few', 'x' .. i)
    redis.call('zadd', 'sorted:few', i / 3, 'x' .. i)
    redis.call('hset', 'hash:few', 'x' .. i, i)
  end
  redis.call('zadd', 'sorted:few', '-inf', 'least', '+inf', 'most')
  for i = 1, 700 do
    redis.call('rpush', 'list:many', string.rep('y', i))
    redis.call('sadd', 'set:many', 'x' .. i)
    redis.call('zadd', 'sorted:many', i * 1.1, 'x' .. i)
    redis.call('hset', 'hash:many', 'x' .. i, string.rep('z', i))
  end
  redis.call('geoadd', 'places', 13.36, 38.11, 'Palermo', 15.08, 37.5, 'Catania')
  for i = 1, 300 do redis.call('xadd', 'stream', i .. '-1', 'field', i, 'other', 'x') end
  redis.call('xdel', 'stream', '7-1', '300-1')
  redis.call('xgroup', 'create', 'stream', 'group', 0)
  redis.call('xgroup', 'create', 'stream', 'idle', '$')
  redis.call('xreadgroup', 'group', 'group', 'ann', 'count', 20, 'streams', 'stream', '>')
  redis.call('xreadgroup', 'group', 'group', 'bob', 'count', 20, 'streams', 'stream', '>')
  redis.call('xack', 'stream', 'group', '3-1')
  redis.call('xadd', 'stream:empty', '1-1', 'a', 'b')
  redis.call('xdel', 'stream:empty', '1-1')
  for i = 1, 50 do
    redis.call('set', 'mortal:' .. i, i, 'px', 86400000 * i)
  end
  redis.call('expire', 'hash:many', 1000000)
end
fill(0, TOTAL) fill(5, 400) fill(15, 100)
return 'filled'
";

/// What a restore has to bring back, and to take away.
const CHANGE: &str = r"
redis.call('select', 0)
for i = 1, 700, 7 do redis.call('del', 'string:' .. i) end
redis.call('set', 'number', 1) redis.call('hset', 'hash:few', 'later', 1) redis.call('persist', 'hash:many')
redis.call('xtrim', 'stream', 'maxlen', 3)
redis.call('select', 5) redis.call('flushdb')
redis.call('select', 9) redis.call('set', 'later', 1)
return 'changed'
";

/// Times to live of all keys, which the server's own digest leaves out. The order of keys is no content.
const TIMES: &str = r"
local sum = 0
for db = 0, 15 do
  redis.call('select', db)
  for _, key in ipairs(redis.call('keys', '*')) do
    sum = (sum + redis.call('pexpiretime', key) % 1000003) % 1000000007
  end
end
return sum
";

/// Everything, in one go: each exec costs a tenth of a second. Without what is only about now, like ages.
const DIGEST: &str = r#"
set -eu
port=$1 times=$2
cli() { "$0" -p "$port" "$@"; }
cli DEBUG DIGEST
cli EVAL "$times" 0
cli FUNCTION LIST WITHCODE
for database in 0 5 15; do
  cli -n $database DBSIZE
  stream=$(cli -n $database --json XINFO STREAM stream) # not in a pipe, which would hide its failure
  printf '%s\n' "$stream" | sed 's/"radix-tree-[a-z]*":[0-9]*,//g'
  cli -n $database --json XINFO GROUPS stream
  cli -n $database XPENDING stream group
done
"#;

pub struct Place {
    pub bed: Bed,
    pub image: &'static str,
    /// Of the default user.
    pub password: Option<&'static str>,
    port: Option<&'static str>,
}

pub fn redis() -> &'static dyn Strategy {
    strategy::find("redis").unwrap()
}

impl Place {
    /// With options for the container and for the server.
    pub fn start(image: &'static str, options: &[&str], server: &[&str]) -> Self {
        let after = |name: &str| server.iter().skip_while(|word| **word != name).nth(1);
        let leaked = |word: &&str| &*Box::leak((*word).to_owned().into_boxed_str());
        let place = Self {
            bed: Bed::run(image, options, &[&ALWAYS, server].concat()),
            image,
            password: after("--requirepass").map(leaked),
            port: after("--port").map(leaked),
        };
        place.ready();
        place
    }

    pub fn ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let ping = [self.client(), "-p", self.port(), "PING"];
        while self.try_run(&ping).stdout != b"PONG\n" {
            let late = Instant::now() >= deadline;
            assert!(!late, "the server does not start: {}", self.bed.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn client(&self) -> &'static str {
        if self.image == VALKEY {
            "valkey-cli"
        } else {
            "redis-cli"
        }
    }

    fn port(&self) -> &'static str {
        self.port.unwrap_or("6379")
    }

    pub fn cli(&self, words: &[&str]) -> String {
        self.run(&[&[self.client(), "-p", self.port()], words].concat())
    }

    /// What a program in the container prints, with the password in its environment.
    fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        said
    }

    fn try_run(&self, words: &[&str]) -> Output {
        let mut run = Command::new("docker");
        run.arg("exec");
        if let Some(password) = self.password {
            run.args(["-e", &format!("REDISCLI_AUTH={password}")]);
        }
        run.arg(&self.bed.name).args(words);
        run.stdin(Stdio::null()).output().unwrap()
    }

    pub fn fill(&self, total: u32) {
        // Besides the plain strings there are 71 keys in each of three databases.
        let script = EVERYTHING.replace("TOTAL", &(total - 500 - 3 * 71).to_string());
        assert_eq!(self.cli(&["EVAL", &script, "0"]), "filled");
        let library = "#!lua name=mine\nredis.register_function('seven', function() return 7 end)";
        self.cli(&["FUNCTION", "LOAD", "REPLACE", library]);
    }

    pub fn change(&self) {
        assert_eq!(self.cli(&["EVAL", CHANGE, "0"]), "changed");
        self.cli(&["FUNCTION", "FLUSH"]);
    }

    pub fn digest(&self) -> String {
        self.run(&["sh", "-c", DIGEST, self.client(), self.port(), TIMES])
    }

    /// Of everything in the data folder, what is not the server's.
    pub fn leftovers(&self) -> Vec<String> {
        let found = self.bed.sh("find / -xdev -name '.holdfast*' 2>/dev/null; ls -A \"$PWD\" | grep -v '^dump.rdb$\\|^appendonlydir$' || true");
        found.lines().map(ToOwned::to_owned).collect()
    }

    pub async fn site(&self) -> Site {
        self.site_with(&[], None).await
    }

    pub async fn site_with(&self, plain: &[(&str, &str)], password: Option<&str>) -> Site {
        let plain = plain
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let explicit = password.or(self.password);
        let password = explicit.map(|p| ("password".to_owned(), Secret::from(p)));
        let options = Options {
            plain: plain.collect(),
            credentials: password.into_iter().collect(),
            paths: Vec::new(),
        };
        workbench::site(&self.bed, options).await
    }

    pub fn restart(&self) {
        docker(&["stop", &self.bed.name]);
        docker(&["start", &self.bed.name]);
        self.ready();
    }
}
