//! The commands that restore an archive without Holdfast: with the container's own tools, and those
//! of any shell. They look whether it can be read to its end, replace what it holds, and then drop
//! what it does not hold.

use std::collections::BTreeMap;

use serde_json::json;

use super::{archive::database_of, dump::ALL};
use crate::{
    domain::manifest::Manifest,
    strategy::by_hand::{self, shell},
};

/// The image's own user and password, which are only known in the container.
const LOGIN: &str = "value() { eval \"v=\\${$1:-} f=\\${$1_FILE:-}\"; if [ -n \"$f\" ]; then v=$(cat \"$f\"); fi; printf %s \"$v\"; }; \
    U=$(value MONGO_INITDB_ROOT_USERNAME); P=$(value MONGO_INITDB_ROOT_PASSWORD); ";
/// The tool reads a line with the password first.
const RESTORE: &str = "if [ -n \"$P\" ]; then { printf '%s\\n' \"$P\"; cat; } | \
    mongorestore --username=\"$U\" --authenticationDatabase=admin \"$@\"; else exec mongorestore \"$@\"; fi";
const TIDY: &str = "export U P; exec \"$(command -v mongosh || command -v mongo)\" --nodb --quiet --norc --eval \"$1\"";

/// Drops what is not in `keep`; not what a restore by Holdfast has set aside.
const DROP: &str = "var get = function (n) { return typeof process === 'undefined' ? _getEnv(n) : process.env[n]; }; \
    var server = new Mongo('mongodb://127.0.0.1:27017/?directConnection=true'); \
    if (get('P')) { server.getDB('admin').auth(get('U'), get('P')); } \
    var keep = JSON.parse(get('KEEP')); \
    for (var name in keep) { var base = server.getDB(name), all = base.getCollectionNames(); \
    for (var i = 0; i < all.length; i++) { \
    if (keep[name].indexOf(all[i]) < 0 && !/^(system[.]|hf_(stage|undo|undone)_[0-9]+_)/.test(all[i])) { \
    base.runCommand({ drop: all[i] }); print('dropped', name, all[i]); } } }";

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let (read, test) = (by_hand::read(manifest, file), by_hand::test(manifest, file));
    let container = shell(&manifest.source.container);
    let mut options = vec!["--archive", "--stopOnError", "--bypassDocumentValidation"];
    if manifest.source.subject == ALL {
        // The server's own accounts and settings, and what was set aside there.
        options.extend(["--nsExclude=admin.system.*", "--nsExclude=config.*"]);
        options.extend(["--nsExclude=*.hf_undo_*", "--nsExclude=*.hf_undone_*"]);
    }
    let restore = |last: &str| {
        let words: Vec<String> = options
            .iter()
            .chain([&last])
            .map(|word| shell(word))
            .collect();
        let script = shell(&format!("{LOGIN}{RESTORE}"));
        let words = words.join(" ");
        format!("{read} | docker exec -i {container} sh -c {script} sh {words}")
    };
    let keep = shell(&format!("KEEP={}", keep(manifest)));
    let (tidy, drop) = (shell(&format!("{LOGIN}{TIDY}")), shell(DROP));
    let tidy = format!("docker exec -e {keep} {container} sh -c {tidy} sh {drop}");
    let rest = [restore("--dryRun"), restore("--drop"), tidy];
    test.into_iter().chain(rest).collect()
}

/// Names of what the archive holds, by database, as JSON.
fn keep(manifest: &Manifest) -> String {
    let mut keep: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in manifest.fingerprint.counts.keys() {
        let database = database_of(key);
        let name = key.strip_prefix("view ").unwrap_or(key);
        let name = name.get(database.len() + 1..).unwrap_or_default();
        keep.entry(database).or_default().push(name);
    }
    json!(keep).to_string()
}
