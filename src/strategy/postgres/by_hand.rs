//! The commands that restore a dump without Holdfast: with the container's own tools, and those of
//! any shell. They load beside, then exchange the names, as Holdfast does.

use super::names::{literal, shell};
use crate::domain::manifest::{Compression, Manifest};

/// The image's own user, whose name is only known in the container.
const USER: &str = "PGUSER=${POSTGRES_USER:-$(cat \"$POSTGRES_USER_FILE\" 2>/dev/null)}; \
    export PGUSER=\"${PGUSER:-postgres}\"; ";
const CREATE: &str = "exec createdb -T template0 -- \"$1\"";
const LOAD: &str = "exec psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d \"$1\"";
const RENAME: &str = "exec psql -X -q -v ON_ERROR_STOP=1 -d \"$1\"";

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let database = manifest.source.subject.as_str();
    let run = |script: &str, argument: &str| {
        let container = shell(&manifest.source.container);
        let (script, argument) = (shell(&format!("{USER}{script}")), shell(argument));
        format!("docker exec -i {container} sh -c {script} sh {argument}")
    };
    let restored = beside(database, "_restored");
    let before = beside(database, "_before");
    let read = match manifest.artifact.compression {
        Compression::Gzip => "gunzip -c",
        Compression::Zstd => "zstd -dc",
        Compression::None => "cat",
    };
    let maintenance = if database == "postgres" {
        "template1"
    } else {
        "postgres"
    };
    // \gexec does nothing where there is nothing to rename or to end.
    let [name, before, new] = [database, &before, &restored].map(literal);
    let rename = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({name}, {new}) \\g /dev/null\n\
        BEGIN;\n\
        SELECT format('ALTER DATABASE %I RENAME TO %I', datname, {before}) FROM pg_database WHERE datname = {name} \\gexec\n\
        SELECT format('ALTER DATABASE %I RENAME TO %I', {new}, {name}) \\gexec\n\
        COMMIT;\n"
    );
    let test = match manifest.artifact.compression {
        Compression::Gzip => Some("gunzip -t"),
        Compression::Zstd => Some("zstd -tq"),
        Compression::None => None,
    };
    // A pipe hides that its first half failed.
    let test = test.map(|test| format!("{test} {}", shell_file(file)));
    let rest = [
        run(CREATE, &restored),
        format!("{read} {} | {}", shell_file(file), run(LOAD, &restored)),
        format!(
            "printf %s {} | {}",
            shell(&rename),
            run(RENAME, maintenance)
        ),
    ];
    test.into_iter().chain(rest).collect()
}

/// A name that begins like this one and is not too long.
fn beside(database: &str, suffix: &str) -> String {
    let mut end = database.len().min(63 - suffix.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &database[..end])
}

/// A file name that begins with a dash is no option.
fn shell_file(file: &str) -> String {
    if file.starts_with('-') {
        shell(&format!("./{file}"))
    } else {
        shell(file)
    }
}
