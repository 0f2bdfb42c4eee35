//! The commands that restore an archive without Holdfast, with the service stopped. Files that were made
//! since the backup stay: that is left to whoever types.

use crate::{
    domain::manifest::{Compression, Manifest},
    strategy::tar::program::COMMON,
};

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let source = &manifest.source;
    let container = shell(&source.container);
    let file = readable(file);
    let stop = format!("docker stop {container}");
    let start = format!("docker start {container}");
    let (test, read) = reading(manifest);
    let mut commands: Vec<String> = test
        .map(|test| format!("{test} {file}"))
        .into_iter()
        .collect();
    commands.push(stop);
    if source.tool.ends_with(COMMON) {
        // No tar in the image: unpacked here, then handed over by the engine.
        let folder = shell(&format!(
            "/tmp/holdfast-{}-{}",
            source.container, manifest.run
        ));
        commands.push(format!("mkdir {folder}"));
        commands.push(format!(
            "{read} {file} | tar -x -p --numeric-owner -C {folder}"
        ));
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
            "{read} {file} | docker run --rm -i --network none --user 0:0 --volumes-from {container} \
             --entrypoint tar {} -x -p{options} -f - -C /",
            shell(&source.image)
        ));
    }
    commands.push(start);
    commands
}

/// Commands that test a stored file, and that read it: a pipe hides that its first half failed.
pub fn reading(manifest: &Manifest) -> (Option<&'static str>, &'static str) {
    match manifest.artifact.compression {
        Compression::Gzip => (Some("gunzip -t"), "gunzip -c"),
        Compression::Zstd => (Some("zstd -tq"), "zstd -dc"),
        Compression::None => (None, "cat"),
    }
}

/// A file name that begins with a dash is no option.
pub fn readable(file: &str) -> String {
    if file.starts_with('-') {
        shell(&format!("./{file}"))
    } else {
        shell(file)
    }
}

/// As one word of a POSIX shell.
pub fn shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(shell("a'b $(id)"), r"'a'\''b $(id)'");
    }
}
