//! The commands that restore an archive without Holdfast, with the service stopped. Files that were made
//! since the backup stay: that is left to whoever types.

use crate::{
    domain::manifest::Manifest,
    strategy::{
        by_hand::{self, shell},
        tar::program::COMMON,
    },
};

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let source = &manifest.source;
    let container = shell(&source.container);
    let stop = format!("docker stop {container}");
    let start = format!("docker start {container}");
    let read = by_hand::read(manifest, file);
    let mut commands: Vec<String> = by_hand::test(manifest, file).into_iter().collect();
    commands.push(stop);
    if source.tool.ends_with(COMMON) {
        // No tar in the image: unpacked here, then handed over by the engine.
        let folder = shell(&format!(
            "/tmp/holdfast-{}-{}",
            source.container, manifest.run
        ));
        commands.push(format!("mkdir {folder}"));
        commands.push(format!("{read} | tar -x -p --numeric-owner -C {folder}"));
        for path in manifest.fingerprint.counts.keys() {
            let (above, _) = path.rsplit_once('/').unwrap_or(("", path));
            let to = shell(&format!("{}:{above}/", source.container));
            commands.push(format!("docker cp -a {folder}{} {to}", shell(path)));
        }
        commands.push(format!("rm -r {folder}"));
    } else {
        let options = if source.tool.contains("GNU tar") {
            " --numeric-owner --acls --xattrs --xattrs-include='user.*' \
             --xattrs-include=security.capability"
        } else {
            ""
        };
        commands.push(format!(
            "{read} | docker run --rm -i --network none --user 0:0 --volumes-from {container} \
             --entrypoint tar {} -x -p{options} -f - -C /",
            shell(&source.image)
        ));
    }
    commands.push(start);
    commands
}
