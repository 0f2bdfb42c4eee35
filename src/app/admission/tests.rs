use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

fn door(backups: usize, per_target: Option<usize>) -> Arc<Admission> {
    let mut settings = Settings::new("/nowhere".into());
    settings.backups = backups;
    settings.backups_per_target = per_target;
    Admission::new(&settings)
}

fn wish(target: &str, may_be_long: bool) -> Wish {
    Wish {
        target: target.to_owned(),
        may_be_long,
    }
}

/// Waiting runs, each polled once, and whoever of them got in.
struct Hall {
    door: Arc<Admission>,
    line: Vec<(i64, futures_util::future::BoxFuture<'static, Option<Entry>>)>,
    inside: BTreeMap<i64, Entry>,
}

impl Hall {
    fn new(door: Arc<Admission>) -> Self {
        let (line, inside) = Default::default();
        Self { door, line, inside }
    }

    fn come(&mut self, run: i64, wish: Wish) {
        let door = self.door.clone();
        let entry = async move { door.enter(RunId(run), wish).await }.boxed();
        self.line.push((run, entry));
        self.look();
    }

    fn leave(&mut self, run: i64) {
        self.inside.remove(&run);
        self.look();
    }

    fn look(&mut self) {
        for (run, mut entry) in std::mem::take(&mut self.line) {
            match (&mut entry).now_or_never() {
                Some(Some(entry)) => drop(self.inside.insert(run, entry)),
                Some(None) => {}
                None => self.line.push((run, entry)),
            }
        }
    }

    fn inside(&self) -> Vec<i64> {
        self.inside.keys().copied().collect()
    }
}

#[test]
fn the_oldest_goes_first_and_no_more_than_may() {
    let mut hall = Hall::new(door(2, None));
    for run in [1, 2, 9, 7, 8] {
        hall.come(run, wish("local", false));
    }
    assert_eq!(hall.inside(), [1, 2]);
    hall.leave(2);
    assert_eq!(hall.inside(), [1, 7]);
    hall.leave(1);
    hall.leave(7);
    assert_eq!(hall.inside(), [8, 9]);
    hall.leave(8);
    hall.leave(9);
    assert_eq!(hall.door.count(), (0, 0));
}

#[test]
fn whoever_waits_for_a_target_holds_up_nobody() {
    let mut hall = Hall::new(door(4, Some(1)));
    hall.come(1, wish("bucket", false));
    hall.come(2, wish("bucket", false));
    hall.come(3, wish("local", false));
    assert_eq!(hall.inside(), [1, 3]);
    hall.leave(1);
    assert_eq!(hall.inside(), [2, 3]);
}

#[test]
fn the_long_leave_a_place_to_the_short() {
    let mut hall = Hall::new(door(3, None));
    for run in 1..=4 {
        hall.come(run, wish("local", true));
    }
    assert_eq!(hall.inside(), [1, 2]);
    hall.come(5, wish("local", false));
    hall.come(6, wish("local", false));
    assert_eq!(hall.inside(), [1, 2, 5]);
    hall.leave(5);
    assert_eq!(hall.inside(), [1, 2, 6]);
    // The oldest long one is not passed over for ever: a place of the long is its own.
    hall.leave(1);
    assert_eq!(hall.inside(), [2, 3, 6]);
}

#[test]
fn where_one_may_work_a_long_one_works_too() {
    let mut hall = Hall::new(door(1, None));
    hall.come(1, wish("local", true));
    assert_eq!(hall.inside(), [1]);
}

#[test]
fn one_that_gives_up_leaves_the_line_and_its_place() {
    let door = door(1, None);
    let mut hall = Hall::new(door.clone());
    hall.come(1, wish("local", false));
    hall.come(2, wish("local", false));
    hall.come(3, wish("local", false));
    hall.line.retain(|(run, _)| *run != 2);
    assert_eq!(door.count(), (1, 1));
    // 3 is let in, but gives up before it looks.
    hall.inside.clear();
    assert_eq!(door.count(), (1, 0));
    hall.line.clear();
    assert_eq!(door.count(), (0, 0));
}

#[test]
fn a_closed_door_lets_nobody_in_and_keeps_nobody_waiting() {
    let mut hall = Hall::new(door(1, None));
    hall.come(1, wish("local", false));
    hall.come(2, wish("local", false));
    hall.door.close();
    hall.come(3, wish("local", false));
    hall.look();
    assert!(hall.line.is_empty());
    assert_eq!(hall.inside(), [1]);
}

proptest! {
    #[test]
    fn limits_hold_and_nobody_is_forgotten(
        at_once in 1_usize..5,
        per_target in 1_usize..4,
        steps in prop::collection::vec((0_u8..3, 0_u8..3, any::<bool>()), 1..120),
    ) {
        let mut hall = Hall::new(door(at_once, Some(per_target)));
        let mut wishes: BTreeMap<i64, Wish> = BTreeMap::new();
        for (number, (what, target, long)) in steps.into_iter().enumerate() {
            let number = i64::try_from(number).unwrap();
            match hall.inside.keys().next().copied() {
                Some(first) if what == 0 => hall.leave(first),
                _ => {
                    let wish = wish(&target.to_string(), long);
                    wishes.insert(number, wish.clone());
                    hall.come(number, wish);
                }
            }
            prop_assert!(hall.inside.len() <= at_once);
            for target in 0..3 {
                let target = target.to_string();
                let there = hall.inside.keys().filter(|run| wishes[run].target == target);
                prop_assert!(there.count() <= per_target);
            }
            let long = hall.inside.keys().filter(|run| wishes[run].may_be_long).count();
            prop_assert!(at_once == 1 || long < at_once);
        }
        // All get their turn when those at work go.
        let mut seen: BTreeSet<i64> = BTreeSet::new();
        while let Some(first) = hall.inside.keys().next().copied() {
            seen.insert(first);
            hall.leave(first);
        }
        prop_assert!(hall.line.is_empty(), "{:?} still wait", hall.line.len());
    }
}
