//! MongoDB: what is special to it. What every strategy has to keep is in `strategies`.

#![allow(clippy::print_stdout)] // Figures.

mod content;
mod failures;
mod lies;
mod names;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use holdfast::{
    domain::secret::Secret,
    strategy::{self, Options, Site, Strategy},
};

use crate::{
    bed::Bed,
    workbench::{self, Backup, Trouble},
};

pub const IMAGE: &str = "holdfast-test/mongo:7";
const CLIENT: &str = include_str!("client.py");

pub fn mongo() -> &'static dyn Strategy {
    strategy::find("mongo").unwrap()
}

/// A server that answers, with these `docker run` options and arguments.
pub fn start(options: &[&str], server: &[&str]) -> Bed {
    let server = if server.is_empty() {
        Vec::new()
    } else {
        [&["mongod"], server].concat()
    };
    let bed = Bed::run(IMAGE, options, &server);
    until_ready(&bed);
    bed
}

pub fn until_ready(bed: &Bed) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while try_python(bed, "").is_err() {
        let late = Instant::now() >= deadline;
        assert!(!late, "the server does not come up: {}", bed.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs a script in the container, beside `client.py`; what it prints.
#[track_caller]
pub fn python(bed: &Bed, script: &str) -> String {
    try_python(bed, script).unwrap_or_else(|error| panic!("{error}"))
}

fn try_python(bed: &Bed, script: &str) -> Result<String, String> {
    let mut python = Command::new("docker")
        .args(["exec", "-i", &bed.name, "python3", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let whole = format!("{CLIENT}\n{script}\n");
    let fed = stdin.write_all(whole.as_bytes());
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    match fed {
        Ok(()) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// All content of an app's, without what a restore has set aside.
#[track_caller]
pub fn digest(bed: &Bed) -> String {
    python(bed, "digest(client)")
}

/// Collections that a restore has made or set aside.
pub fn leftovers(bed: &Bed) -> Vec<String> {
    let script = "for database in client.databases():
    for entry in client.collections(database):
        if is_ours(entry['name']):
            print(f\"{database}.{entry['name']}\")";
    python(bed, script).lines().map(ToOwned::to_owned).collect()
}

/// Some thousand documents of many types in the database `shop`, a view, indexes.
pub const SEED: &str = "
from bson import Binary, Decimal128, Int64, ObjectId
things = [
    SON(_id=i, name=f'thing {i} é', price=Decimal128(f'{i}.10'), stock=Int64(i), tags=['a', {'b': i}],
        photo=Binary(hashlib.shake_256(str(i).encode()).digest(192)), kind=None if i % 3 else 1.5)
    for i in range(9000)
]
for start in range(0, 9000, 1000):
    client.insert('shop', 'things', things[start:start + 1000])
indexes = [SON(key=SON([('name', 1), ('price', -1)]), name='by_name'),
           SON(key=SON(stock=1), name='stock', unique=True)]
client.run('shop', SON(createIndexes='things', indexes=indexes))
client.run('shop', SON(create='empty'))
client.run('shop', SON(create='cheap', viewOn='things', pipeline=[{'$match': {'_id': {'$lt': 9}}}]))
";

/// Other content in it.
pub const CHANGE: &str = "
client.run('shop', SON(delete='things', deletes=[SON(q={'_id': {'$lt': 700}}, limit=0)]))
client.run('shop', SON(update='things', updates=[SON(q={'_id': {'$lt': 900}}, u={'$set': {'name': 'changed'}}, multi=True)]))
client.run('shop', SON(drop='empty'))
client.run('shop', SON(drop='cheap'))
client.run('shop', SON(create='dear', viewOn='things', pipeline=[]))
client.insert('shop', 'later', [SON(_id=1)])
";

pub async fn site(bed: &Bed, plain: &[(&str, &str)], password: Option<&str>) -> Site {
    let plain = plain
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let password = password.map(|p| ("password".to_owned(), Secret::from(p)));
    let options = Options {
        plain: plain.collect(),
        credentials: password.into_iter().collect(),
        paths: Vec::new(),
    };
    workbench::site(bed, options).await
}

pub async fn back_up(site: &Site) -> Result<Backup, Trouble> {
    workbench::back_up(mongo(), site).await
}
