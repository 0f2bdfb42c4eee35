//! Many files: all in one folder, so that the exchange moves each of them.

use std::time::Instant;

use super::{paths, volume};
use crate::{
    bed::{Bed, SQLITE_APP},
    workbench::{self, Notes},
};

const DIGEST: &str = "cd /data; find . -name '.holdfast-*' -prune -o -type f -print0 | sort -z | xargs -0 cat | sha256sum";

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_files_come_back() {
    let bed = Bed::run(SQLITE_APP, &[], &["sleep", "3600"]);
    bed.sh("cd /data && seq 50000 | split -l 1 -a 5 - file-");
    let original = bed.sh(DIGEST);
    let site = workbench::site(&bed, paths(&[])).await;
    let started = Instant::now();
    let backup = workbench::back_up(volume(), &site).await.unwrap();
    let took = started.elapsed();
    assert_eq!(backup.fingerprint.total(), 50_000);

    bed.sh("cd /data && rm file-aaa* && echo later > later && echo changed > file-abbbb");
    let started = Instant::now();
    let kept = backup
        .restore(&site, &Notes::default())
        .await
        .unwrap()
        .kept
        .unwrap();
    let restored = started.elapsed();
    assert_eq!(bed.sh(DIGEST), original);
    assert!(kept.size.unwrap() > 1_000_000, "{kept:?}");
    println!(
        "figure: volume: 50,000 files backed up in {:.1} s, restored in {:.1} s",
        took.as_secs_f64(),
        restored.as_secs_f64()
    );
}
