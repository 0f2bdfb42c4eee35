//! The commands that restore a dump without Holdfast: stop the service, put the file in its place from a
//! container of the same image, start it again. The server reads the dump only where no append-only log
//! is switched on; else the same program makes the log from it first.

use super::{layout::Layout, program_of};
use crate::{
    domain::manifest::Manifest,
    strategy::by_hand::{self, shell},
};

/// Arguments: folder, dump, name of the log in the folder, client, folder of the log, file of the log,
/// server, whether there is a log.
const PUT: &str = "set -e; cd \"$1\"; mark=before-$(date +%s)
for name in \"$2\" \"$3\"; do if [ -e \"$name\" ]; then mv -- \"$name\" \"$name.$mark\"; fi; done
cat > \"$2\"
if [ \"$8\" = yes ]; then
  set -- \"$@\" --port 0 --unixsocket /tmp/by-hand.sock --dir \"$1\" --dbfilename \"$2\" --appendonly no --appendfilename \"$6\"
  if [ -n \"$5\" ]; then set -- \"$@\" --appenddirname \"$5\"; fi
  dump=$2 log=$3 client=$4 server=$7; shift 8
  \"$server\" \"$@\" --save \"\" >/dev/null & pid=$!
  ask() { \"$client\" -s /tmp/by-hand.sock \"$@\"; }
  until ask ping 2>/dev/null | grep -q PONG; do kill -0 $pid; sleep 1; done
  ask config set appendonly yes
  until ask info persistence | grep -q aof_rewrite_in_progress:0; do sleep 1; done
  ask shutdown nosave || true
  wait $pid
  chown -R \"$(stat -c %u:%g .)\" \"$log\"
  set -- . \"$dump\"
fi
chown \"$(stat -c %u:%g .)\" \"$2\"";

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let source = &manifest.source;
    let layout = Layout::parse(&source.subject).or_else(|| Layout::parse("/data/dump.rdb"));
    let Some(layout) = layout else {
        return Vec::new();
    };
    let (read, test) = (by_hand::read(manifest, file), by_hand::test(manifest, file));
    let container = shell(&source.container);
    let client = program_of(&source.tool);
    let server = client.replace("-cli", "-server");
    let words = [
        layout.dir.as_str(),
        &layout.dump,
        layout.log.name(),
        client,
        layout.log.folder.as_deref().unwrap_or_default(),
        &layout.log.file,
        &server,
        if layout.log_is_on { "yes" } else { "no" },
    ];
    let words: Vec<String> = words.into_iter().map(shell).collect();
    let image = if source.image_id.is_empty() {
        &source.image
    } else {
        &source.image_id
    };
    let put = format!(
        "docker run --rm -i --network none --user 0:0 --volumes-from {container} --entrypoint sh {} -c {} sh {}",
        shell(image),
        shell(PUT),
        words.join(" ")
    );
    let rest = [
        format!("docker stop {container}"),
        format!("{read} | {put}"),
        format!("docker start {container}"),
    ];
    test.into_iter().chain(rest).collect()
}
