//! Retention: the plan against a model that knows no cleverness, the brake, the forecast against the
//! plan itself, and the whole way from a good run to a file that is gone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use holdfast::{
    app::{AppError, RestoreInput},
    domain::{
        forecast::forecast,
        ids::RunId,
        retention::{Brake, Gfs, Point, Retention, plan, straighten},
        run::Run,
        schedule::Schedule,
    },
    target::memory::{Fault, Scope},
};
use proptest::{prelude::*, test_runner::TestRunner};
use sea_orm::ConnectionTrait;

use crate::{
    bucket::Bucket,
    house::{House, postgres},
    note,
};

const CASES: u32 = 10_000;
const ZONES: [Tz; 4] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Pacific__Kiritimati,
];

/// Each artifact by itself: how many are newer, how old is it, is it the newest of its period, and
/// how many later periods have any. Periods are the texts that a calendar prints.
fn model(rule: &Retention, zone: Tz, points: &[Point]) -> BTreeSet<RunId> {
    let Some(newest) = points.iter().max_by_key(|point| (point.at, point.run)) else {
        return BTreeSet::new();
    };
    let newer = |point: &Point| {
        let than = |other: &&Point| (other.at, other.run) > (point.at, point.run);
        points.iter().filter(than).count()
    };
    let of_period = |point: &Point, format: &str, wanted: u32| {
        let name = |point: &Point| point.at.with_timezone(&zone).format(format).to_string();
        let mut newest_of: BTreeMap<String, (DateTime<Utc>, RunId)> = BTreeMap::new();
        for point in points {
            let here = newest_of.entry(name(point)).or_default();
            *here = (*here).max((point.at, point.run));
        }
        let mine = newest_of[&name(point)];
        let later = newest_of.values().filter(|other| **other > mine).count();
        mine == (point.at, point.run) && later < wanted as usize
    };
    let stays = |point: &&Point| match rule {
        Retention::Count { count } => newer(point) < *count as usize,
        Retention::Time { days } => {
            newest.at.timestamp_millis() - point.at.timestamp_millis()
                < i64::from(*days) * 24 * 60 * 60 * 1000
        }
        Retention::Gfs(gfs) => {
            newer(point) < gfs.keep_last as usize
                || of_period(point, "%Y-%m-%d", gfs.keep_daily)
                || of_period(point, "%G-%V", gfs.keep_weekly)
                || of_period(point, "%Y-%m", gfs.keep_monthly)
                || of_period(point, "%Y", gfs.keep_yearly)
        }
    };
    let mut kept: BTreeSet<RunId> = points.iter().filter(stays).map(|it| it.run).collect();
    kept.insert(newest.run);
    kept
}

fn rules() -> impl Strategy<Value = Retention> {
    let few = 0..6_u32;
    prop_oneof![
        (1..12_u32).prop_map(|count| Retention::Count { count }),
        (1..60_u32).prop_map(|days| Retention::Time { days }),
        (few.clone(), few.clone(), few.clone(), few.clone(), few).prop_map(
            |(keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly)| {
                Retention::Gfs(Gfs {
                    keep_last,
                    keep_daily,
                    keep_weekly,
                    keep_monthly,
                    keep_yearly,
                })
            }
        ),
    ]
}

/// Some minutes to some months apart, several at the same instant among them, in any order.
fn histories() -> impl Strategy<Value = Vec<Point>> {
    let gap = prop_oneof![
        Just(0_i64),
        1..90_i64,
        60..3000_i64,
        1000..90_000_i64,
        Just(24 * 60)
    ];
    let size = prop_oneof![Just(1000_u64), 0..3000_u64];
    let point = (gap, size, proptest::bool::weighted(0.9));
    let points = proptest::collection::vec(point, 0..40).prop_map(|gaps| {
        let mut at = crate::samples::time();
        let place = |(i, (gap, raw_bytes, verified)): (usize, (i64, u64, bool))| {
            at += TimeDelta::minutes(gap);
            Point {
                run: RunId(i64::try_from(i).unwrap() + 1),
                at,
                raw_bytes,
                verified,
            }
        };
        gaps.into_iter().enumerate().map(place).collect::<Vec<_>>()
    });
    points.prop_shuffle()
}

#[test]
fn promise_10_the_plan_is_that_of_a_simple_model() {
    let config = ProptestConfig {
        cases: CASES,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let zone = proptest::sample::select(&ZONES[..]);
    let (mut kept, mut gone, mut braked) = (0, 0, 0);
    let inputs = (rules(), zone, histories(), any::<bool>());
    let counts = std::cell::RefCell::new((&mut kept, &mut gone, &mut braked));
    runner
        .run(&inputs, |(rule, zone, points, failed)| {
            let plan = plan(&rule, zone, &points, failed);
            let expected = model(&rule, zone, &points);
            let staying = plan.verdicts.iter().filter(|it| !it.reasons.is_empty());
            let staying: BTreeSet<RunId> = staying.map(|it| it.point.run).collect();
            prop_assert_eq!(&staying, &expected);
            let leaving = plan.leaving();
            let newest = points.iter().max_by_key(|point| (point.at, point.run));
            if let Some(newest) = newest {
                prop_assert!(!leaving.contains(&newest.run));
                prop_assert!(leaving.is_empty() || (newest.verified && !failed));
            }
            let mut counts = counts.borrow_mut();
            *counts.0 += staying.len();
            *counts.1 += leaving.len();
            *counts.2 += usize::from(plan.brake.is_some());
            Ok(())
        })
        .unwrap();
    assert!(gone > 1000 && braked > 1000, "the histories prove nothing");
    println!(
        "figure: promise 10: {CASES} random histories, {kept} kept, {gone} let go, {braked} held by \
         the brake, 0 differences"
    );
}

fn point(run: i64, hours: i64, raw_bytes: u64) -> Point {
    Point {
        run: RunId(run),
        at: crate::samples::time() + TimeDelta::hours(hours),
        raw_bytes,
        verified: true,
    }
}

#[test]
fn promise_10_the_brake_holds_after_what_is_not_proven() {
    let rule = Retention::Count { count: 1 };
    let brake = |points: &[Point], failed| {
        let plan = plan(&rule, Tz::UTC, points, failed);
        assert_eq!(plan.brake.is_some(), plan.leaving().is_empty());
        plan.brake
    };
    let old = point(1, 0, 1000);
    assert_eq!(brake(&[], false), Some(Brake::NoGoodBackup));
    assert_eq!(brake(&[old, point(2, 1, 500)], false), None);
    assert_eq!(
        brake(&[old, point(2, 1, 499)], false),
        Some(Brake::NewestShrank {
            from: 1000,
            to: 499
        })
    );
    assert_eq!(
        brake(&[old, point(2, 1, 1000)], true),
        Some(Brake::LastRunFailed)
    );
    let unverified = Point {
        verified: false,
        ..point(2, 1, 1000)
    };
    assert_eq!(
        brake(&[old, unverified], false),
        Some(Brake::NewestUnverified)
    );
}

/// A host that boots in another decade is right again a run later.
#[test]
fn promise_10_a_clock_that_was_wrong_deletes_nothing() {
    let daily = |runs: std::ops::RangeInclusive<i64>| runs.map(|run| point(run, 24 * run, 1000));
    let rules = [
        Retention::Count { count: 11 },
        Retention::Time { days: 30 },
        Retention::Gfs(Gfs::default()),
    ];
    let years = 24 * 3650;
    for rule in rules {
        let leaving = |points: &[Point]| {
            let mut points = points.to_vec();
            straighten(&mut points);
            plan(&rule, Tz::UTC, &points, false).leaving()
        };
        for wrong in [years, -years] {
            let mut points: Vec<Point> = daily(1..=10).collect();
            points.push(point(11, wrong, 1000));
            for newest in 11..=16 {
                if newest > 11 {
                    points.push(point(newest, 24 * newest, 1000));
                }
                // It counts for the day of the one before it, of which it is the newest then.
                let mut expected = leaving(&daily(1..=newest).collect::<Vec<_>>());
                expected.push(RunId(10));
                let gone = leaving(&points);
                assert!(
                    gone.iter().all(|run| expected.contains(run)),
                    "{rule:?}: {gone:?}"
                );
            }
        }
    }
}

/// What is before it goes when enough was made after it, as the rule says.
#[test]
fn promise_10_the_brake_holds_after_a_long_pause() {
    let rule = Retention::Time { days: 30 };
    let mut points: Vec<Point> = (1..=5).map(|run| point(run, 24 * run, 1000)).collect();
    for (run, braked) in [(6, true), (7, true), (8, false)] {
        points.push(point(run, 24 * (60 + run), 1000));
        let plan = plan(&rule, Tz::UTC, &points, false);
        let expected = braked.then_some(Brake::LongPause { days: 30 });
        assert_eq!(plan.brake, expected, "run {run}");
        assert_eq!(plan.leaving().len(), if braked { 0 } else { 5 });
    }
    // Who makes one a quarter keeps what the rule says of that.
    let quarterly: Vec<Point> = (1..=3).map(|run| point(run, 24 * 90 * run, 1000)).collect();
    assert_eq!(plan(&rule, Tz::UTC, &quarterly, false).leaving().len(), 2);
}

/// There may be a good copy of it, and room.
#[test]
fn what_is_damaged_stays_as_long_as_a_good_one_would() {
    let good = [point(2, 24, 1000), point(3, 48, 1000)];
    let damaged = [point(1, 0, 1000)];
    for (count, gone) in [(5, vec![]), (3, vec![]), (2, vec![RunId(1)])] {
        let rule = Retention::Count { count };
        let plan = plan(&rule, Tz::UTC, &good, false);
        assert_eq!(plan.leaving(), []);
        assert_eq!(plan.outlived(&rule, Tz::UTC, &damaged), gone, "{count}");
    }
}

/// The forecast asks the rule now and then; step by step it must come to the same.
#[test]
fn the_forecast_is_what_each_slot_would_have_done() {
    let now = crate::samples::time();
    let gfs = Gfs {
        keep_last: 2,
        keep_daily: 5,
        keep_weekly: 3,
        keep_monthly: 2,
        keep_yearly: 0,
    };
    for (cron, rule) in [
        ("0 2 * * *", Retention::Count { count: 7 }),
        ("0 */3 * * *", Retention::Time { days: 4 }),
        ("30 * * * *", Retention::Gfs(gfs)),
    ] {
        let schedule = Schedule::parse(cron).unwrap();
        let zone = Tz::Europe__Berlin;
        let present: Vec<Point> = (0..9).map(|i| point(i + 1, 24 * (i - 9), 1000)).collect();
        let seen = forecast(&rule, zone, &schedule, &present, now);

        let mut points = present.clone();
        let (mut at, mut slots) = (now, 0);
        while let Some(slot) = schedule.next_after(at, zone) {
            if slot > now + TimeDelta::days(90) {
                break;
            }
            (at, slots) = (slot, slots + 1);
            points.push(Point {
                at: slot,
                ..point(1000 + slots, 0, 1000)
            });
            let leaving = plan(&rule, zone, &points, false).leaving();
            points.retain(|point| !leaving.contains(&point.run));
        }
        let staying: Vec<DateTime<Utc>> = seen.staying.iter().map(|it| it.point.at).collect();
        let expected = points.iter().filter(|it| it.run >= RunId(1000));
        let expected: Vec<DateTime<Utc>> = expected.map(|it| it.at).collect();
        assert_eq!(staying, expected, "{cron}");
        assert_eq!(i64::try_from(seen.slots).unwrap(), slots, "{cron}");
        let left: BTreeSet<RunId> = seen.leaving.keys().copied().collect();
        let gone = |it: &&Point| points.iter().all(|other| other.run != it.run);
        let gone: BTreeSet<RunId> = present.iter().filter(gone).map(|it| it.run).collect();
        assert_eq!(left, gone, "{cron}");
    }
}

fn files(house: &House) -> usize {
    let folder = house.data.path().join("backups/shop/1");
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_what_is_let_go_is_deleted_and_says_so() {
    let project = format!("retention-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let house = House::new().await;
    house.app("shop", &project).await;
    let config = house
        .config("shop", |input| {
            input.retention_count = Some(2);
            input.schedule_cron = Some("0 2 * * *".into());
        })
        .await;
    let first = house.back_up(config).await.run_id();
    let second = house.back_up(config).await.run_id();
    let preview = house
        .holdfast
        .retention_preview(&house.caller, config)
        .await
        .unwrap();
    assert_eq!(preview.plan.brake, None);
    assert_eq!(preview.forecast.unwrap().leaving.len(), 2);

    // A run that fails deletes nothing.
    *house.faults.target.lock().unwrap() = Some((Fault::Full, Scope::Artifacts));
    assert_eq!(house.back_up(config).await.status, "failed");
    house.heal();
    let preview = house
        .holdfast
        .retention_preview(&house.caller, config)
        .await
        .unwrap();
    assert_eq!(preview.plan.brake, Some(Brake::LastRunFailed));
    assert_eq!(files(&house), 4);

    house.back_up(config).await;
    let pruned = house.run_when(first, |run| run.pruned_at.is_some()).await;
    assert_eq!(pruned.status, "success", "what happened stays true");
    assert_eq!(files(&house), 4, "two artifacts, each with its manifest");
    let kept = house.run(second).await;
    assert_eq!((kept.expired_at, kept.pruned_at), (None, None));

    let restore = house
        .holdfast
        .request_restore(&house.caller, first, RestoreInput::default())
        .await;
    let download = house.holdfast.download(&house.caller, first, None).await;
    for error in [restore.unwrap_err(), download.map(|_| ()).unwrap_err()] {
        assert!(matches!(error, AppError::Conflict(_)), "{error:?}");
        assert!(
            error.to_string().contains("retention deleted it"),
            "{error}"
        );
    }
    assert_eq!(house.restore(second).await.status, "success");
    let rebuilt = house.holdfast.rebuild().await.unwrap();
    assert!(rebuilt.differed.is_empty(), "{rebuilt:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_target_holds_fast_is_kept_and_nothing_fails_by_it() {
    let project = format!("held-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let house = House::new().await;
    house.app("shop", &project).await;
    let config = house
        .config("shop", |input| input.retention_count = Some(1))
        .await;
    *house.faults.target.lock().unwrap() = Some((Fault::Hold, Scope::All));
    let first = house.back_up(config).await.run_id();
    assert_eq!(house.back_up(config).await.status, "success");

    let held = house.run_when(first, |run| run.held.is_some()).await;
    assert!(held.held.unwrap().contains("the object is locked"));
    assert_eq!((held.status.as_str(), held.pruned_at), ("success", None));
    assert_eq!(files(&house), 4, "two artifacts, each with its manifest");
    let (run, _) = house.holdfast.log().load::<Run>(first.0).await.unwrap();
    assert!(run.expired && !run.pruned);

    // The lock is over: the next time that it is asked, it goes.
    house.heal();
    house.holdfast.prune(first).await.unwrap();
    let gone = house.run(first).await;
    assert_eq!((gone.held, gone.pruned_at.is_some()), (None, true));
    assert_eq!(files(&house), 2);
    let rebuilt = house.holdfast.rebuild().await.unwrap();
    assert!(rebuilt.differed.is_empty(), "{rebuilt:?}");
    house.close().await;
}

/// Nobody could put a store's lost secret back by asking again.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_target_that_cannot_be_opened_is_held_too() {
    let (project, _bed) = note::service("held-unopened");
    let (house, bucket) = (House::new().await, Bucket::serve());
    house.app("shop", &project).await;
    let config = house
        .config("shop", |input| {
            note::stored_in(&bucket)(input);
            input.retention_count = Some(1);
        })
        .await;
    *house.faults.target.lock().unwrap() = Some((Fault::Hold, Scope::All));
    let first = house.back_up(config).await.run_id();
    house.back_up(config).await;
    house.run_when(first, |run| run.held.is_some()).await;
    house.heal();
    let path = house.data.path().join("holdfast.db");
    let db = sea_orm::Database::connect(format!("sqlite://{}", path.display()));
    let forget = "DELETE FROM vault_secrets WHERE reference LIKE 'vault:%'";
    let forgotten = db.await.unwrap().execute_unprepared(forget).await;
    assert!(forgotten.unwrap().rows_affected() > 0);

    house.holdfast.prune(first).await.unwrap();
    let held = house.run(first).await;
    assert!(held.held.unwrap().contains("is not in the vault"));
    assert_eq!((bucket.backups().len(), held.pruned_at), (4, None));
    house.close().await;
}
