//! The main job, end to end on a real database: back up, change, restore, compare, undo; and by
//! hand from the artifact alone.

use holdfast::readmodel::runs;

use crate::house::{House, postgres, psql};

const DIGEST: &str = "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY i)) FROM notes t";

#[tokio::test(flavor = "multi_thread")]
async fn back_up_change_restore_and_undo() {
    let project = format!("slice-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i, md5(i::text) t FROM generate_series(1, 50000) i",
    );
    let house = House::new().await;
    house.app("shop", &project).await;
    for compression in ["gzip", "zstd", "none"] {
        let config = house
            .config("shop", |input| input.compression = Some(compression.into()))
            .await;
        let original = psql(&bed, "shop", DIGEST);
        let run: runs::Model = house.back_up(config).await;
        assert_eq!(run.status, "success", "{run:?}");
        let counts = run.fingerprint().unwrap().counts;
        assert_eq!(counts["public.notes"], 50_000);

        psql(
            &bed,
            "shop",
            "DELETE FROM notes WHERE i % 3 = 0; CREATE TABLE later(i int)",
        );
        let changed = psql(&bed, "shop", DIGEST);
        assert_ne!(changed, original);

        let restore = house.restore(run.run_id()).await;
        assert_eq!(restore.status, "success", "{restore:?}");
        assert_eq!(psql(&bed, "shop", DIGEST), original);
        let later = "SELECT count(*) FROM pg_class WHERE relname = 'later'";
        assert_eq!(psql(&bed, "shop", later), "0", "what came later is gone");

        house
            .holdfast
            .undo_restore(&house.caller, restore.restore_id())
            .await
            .unwrap();
        let undone = house.restore_over(restore.restore_id()).await;
        assert_eq!(undone.status, "undone", "{undone:?}");
        assert_eq!(psql(&bed, "shop", DIGEST), changed);

        let again = house.restore(run.run_id()).await;
        assert_eq!(again.status, "success", "{again:?}");
        assert_eq!(psql(&bed, "shop", DIGEST), original);
    }
    let report = house.holdfast.rebuild().await.unwrap();
    assert_eq!(report.differed, Vec::<&str>::new());
    house.close().await;
}
