//! The commands that restore a dump without Holdfast: with the container's own tools, and those of
//! any shell. They load in place: tables that were made later stay, unlike with Holdfast.

use crate::{
    domain::manifest::Manifest,
    strategy::by_hand::{self, shell},
};

/// The image's root, whose password is only known in the container.
const CLIENT: &str = "MYSQL_PWD=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-$(cat \"${MARIADB_ROOT_PASSWORD_FILE:-$MYSQL_ROOT_PASSWORD_FILE}\" 2>/dev/null)}}; \
    export MYSQL_PWD; client=$(command -v mariadb || command -v mysql); \
    exec \"$client\" --user=root --default-character-set=utf8mb4 --max-allowed-packet=1G --binary-mode --comments";

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let container = shell(&manifest.source.container);
    let run = |more: &str| {
        let script = shell(&format!("{CLIENT}{more}"));
        format!("docker exec -i {container} sh -c {script}")
    };
    let (read, test) = (by_hand::read(manifest, file), by_hand::test(manifest, file));
    // The accounts come before the dump's own first line. Those that are there are left alone.
    let accounts = "sed -n -e '/^-- M[^ ]* dump /q' -e 's/^-- account: //p'";
    let rest = [
        format!("{read} | {}", run("")),
        format!("{read} | {accounts} | {}", run(" --force")),
    ];
    test.into_iter().chain(rest).collect()
}
