//! The commands that restore databases without Holdfast, with the service stopped.

use super::{tool::IN, validate::ONE};
use crate::{
    domain::manifest::Manifest,
    strategy::by_hand::{self, shell},
};

/// Takes a database to $1: owner and mode as before, and nothing of the old one beside it.
const TAKE: &str = "set -e; cat > \"$1.restored\"; like=$1; [ -e \"$1\" ] || like=${1%/*}; \
    chown \"$(stat -c %u:%g \"$like\")\" \"$1.restored\"; \
    if [ -e \"$1\" ]; then chmod \"$(stat -c %a \"$1\")\" \"$1.restored\"; fi; \
    rm -f \"$1-wal\" \"$1-shm\" \"$1-journal\"; mv \"$1.restored\" \"$1\"";

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let source = &manifest.source;
    let container = shell(&source.container);
    let image = source
        .tool
        .split_once(IN)
        .map_or(source.image.as_str(), |(_, image)| image);
    let read = by_hand::read(manifest, file);
    let take = |path: &str| {
        format!(
            "docker run --rm -i --network none --user 0:0 --volumes-from {container} \
             --entrypoint sh {} -c {} sh {}",
            shell(image),
            shell(TAKE),
            shell(path)
        )
    };
    let mut commands: Vec<String> = by_hand::test(manifest, file).into_iter().collect();
    commands.push(format!("docker stop {container}"));
    if manifest.fingerprint.counts.contains_key(ONE) {
        commands.push(format!("{read} | {}", take(&source.subject)));
    } else {
        for path in manifest.fingerprint.counts.keys() {
            let member = shell(path.trim_start_matches('/'));
            commands.push(format!("{read} | tar -x -O -f - {member} | {}", take(path)));
        }
    }
    commands.push(format!("docker start {container}"));
    commands
}
