//! Schedules agree with an implementation that knows nothing of ours: the crate `croner`, which follows Vixie's
//! cron and the same rules for changes of the clocks.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use holdfast::domain::schedule::Schedule;
use proptest::{prelude::*, sample::select, test_runner::TestRunner};

/// Year, month, day.
type Day = (i32, u32, u32);

/// Five zones, with the days of both changes: of an hour and of half of one, in both halves of the world, at midnight.
const CHANGES: [(Tz, [Day; 2]); 5] = [
    (Tz::Europe__Berlin, [(2027, 3, 28), (2027, 10, 31)]),
    (Tz::America__New_York, [(2027, 3, 14), (2027, 11, 7)]),
    (Tz::Australia__Lord_Howe, [(2027, 4, 4), (2027, 10, 3)]),
    (Tz::America__Santiago, [(2027, 4, 4), (2027, 9, 5)]),
    (Tz::Pacific__Auckland, [(2027, 4, 4), (2027, 9, 26)]),
];
const MONTHS: [&str; 12] = [
    "jan", "FEB", "mar", "apr", "May", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "MON", "tue", "wed", "Thu", "fri", "sat"];

const WORDS: [&str; 6] = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
];

/// A field of values from `low` to `high`, as people write them: any, one, a list, a range, with a step.
fn field(low: u32, high: u32, names: &'static [&'static str]) -> BoxedStrategy<String> {
    let one = (low..=high).prop_map(move |value| value.to_string());
    let named = (low..=high, any::<bool>()).prop_map(move |(value, by_name)| {
        let name = names.get((value - low) as usize).filter(|_| by_name);
        name.map_or_else(|| value.to_string(), |&name| name.to_owned())
    });
    let range = (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let step = 2..=(high / 2).max(2);
    prop_oneof![
        4 => Just("*".to_owned()),
        2 => one,
        2 => named.clone(),
        2 => prop::collection::vec(named, 2..4).prop_map(|list| list.join(",")),
        1 => range.clone(),
        1 => (range, step.clone()).prop_map(|(range, step)| format!("{range}/{step}")),
        2 => step.prop_map(|step| format!("*/{step}")),
    ]
    .boxed()
}

fn expression() -> impl Strategy<Value = String> {
    let fields = (
        field(0, 59, &[]),
        field(0, 23, &[]),
        field(1, 31, &[]),
        field(1, 12, &MONTHS),
        // Both numberings: 0 and 7 are Sunday.
        prop_oneof![field(0, 6, &DAYS), field(1, 7, &[])],
    );
    let joined = fields.prop_map(|(minute, hour, day, month, weekday)| {
        format!("{minute} {hour} {day} {month} {weekday}")
    });
    prop_oneof![30 => joined, 1 => select(&WORDS[..]).prop_map(str::to_owned)]
}

fn zone() -> impl Strategy<Value = Tz> {
    select(vec![
        Tz::UTC,
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::Asia__Kolkata,
        Tz::Pacific__Auckland,
    ])
}

fn theirs(expression: &str) -> Cron {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed);
    parser.build().parse(expression).unwrap()
}

fn their_next(cron: &Cron, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
    let found = cron.find_next_occurrence(&after.with_timezone(&zone), false);
    Some(found.ok()?.with_timezone(&Utc))
}

/// Where the two differ on purpose, first: a day field like `*/2` beside a weekday. Both must hold then, because it
/// begins with a star, as cron has it; for `croner` either is enough.
fn is_starred_day(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split(' ').collect();
    let starred = |field: &str| field.starts_with("*/");
    fields.len() == 5
        && ((starred(fields[2]) && fields[4] != "*") || (starred(fields[4]) && fields[2] != "*"))
}

/// Second: `0,30 2-4 * * *` names its times, so none is lost in a gap or doubled after it, as cron has it; for
/// `croner` only a single time is named.
fn names_several_times(minute: &str, hour: &str) -> bool {
    let starred = minute.starts_with('*') || hour.starts_with('*');
    !starred && (minute.contains([',', '-']) || hour.contains([',', '-']))
}

/// Both look for what comes next; the time it is.
fn same_next(
    expression: &str,
    (ours, theirs): (&Schedule, &Cron),
    after: DateTime<Utc>,
    zone: Tz,
) -> Result<DateTime<Utc>, TestCaseError> {
    let next = ours.next_after(after, zone);
    let their_next = their_next(theirs, after, zone);
    prop_assert_eq!(
        next,
        their_next,
        "{} after {} in {}",
        expression,
        after,
        zone
    );
    next.ok_or_else(|| TestCaseError::fail(format!("{expression} ends after {after}")))
}

fn each<S: Strategy>(cases: u32, inputs: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    if let Err(error) = runner.run(inputs, test) {
        panic!("{error}");
    }
}

#[test]
fn the_next_times_are_the_same() {
    const CASES: u32 = 10_000;
    let expressions = expression().prop_filter("decided", |it| !is_starred_day(it));
    // 2024 to 2034, with three leap days.
    let seconds = 1_704_067_200_i64..2_019_686_400;
    each(
        CASES,
        &(expressions, zone(), seconds),
        |(expression, zone, second)| {
            let mut fields = expression.split(' ');
            let (minute, hour) = (fields.next().unwrap(), fields.next().unwrap_or("*"));
            let zone = if names_several_times(minute, hour) {
                Tz::UTC
            } else {
                zone
            };
            let theirs = theirs(&expression);
            let mut after = DateTime::from_timestamp(second, 0).unwrap();
            let Ok(ours) = Schedule::parse(&expression) else {
                let next = their_next(&theirs, after, zone);
                prop_assert_eq!(next, None, "{} is refused", expression);
                return Ok(());
            };
            for _ in 0..2 {
                after = same_next(&expression, (&ours, &theirs), after, zone)?;
            }
            Ok(())
        },
    );
    println!(
        "figure: schedules: {CASES} random expressions at random times as another implementation has them, 0 differences"
    );
}

/// All that is due in three days around each change of the clocks.
#[test]
fn changes_of_the_clocks_are_the_same() {
    const CASES: u32 = 200;
    const MOST: usize = 40;
    let hour = prop_oneof![field(0, 4, &[]), field(0, 23, &[])];
    let inputs = (field(0, 59, &[]), hour).prop_filter("decided", |(minute, hour)| {
        !names_several_times(minute, hour)
    });
    each(CASES, &inputs, |(minute, hour)| {
        let expression = format!("{minute} {hour} * * *");
        let both = (&Schedule::parse(&expression).unwrap(), &theirs(&expression));
        for (zone, days) in CHANGES {
            for (year, month, day) in days {
                let day = NaiveDate::from_ymd_opt(year, month, day).unwrap();
                let midnight = day.and_hms_opt(0, 0, 0).unwrap().and_utc();
                let mut after = midnight - Duration::days(1);
                let end = midnight + Duration::days(2);
                for _ in 0..MOST {
                    if after >= end {
                        break;
                    }
                    after = same_next(&expression, both, after, zone)?;
                }
            }
        }
        Ok(())
    });
    let changes = CHANGES.len() * 2;
    println!(
        "figure: schedules: {CASES} random expressions around {changes} changes of the clocks, 0 differences"
    );
}

/// What is decided otherwise than there, by its effect.
#[test]
fn where_implementations_differ_cron_decides() {
    let next = |expression: &str, after: &str, zone: Tz| {
        let after = after.parse::<DateTime<Utc>>().unwrap();
        let schedule = Schedule::parse(expression).unwrap();
        schedule.next_after(after, zone).unwrap().to_rfc3339()
    };
    // Every second day that is a Monday as well; 2026-12-07 is the first.
    assert_eq!(
        next("0 0 */2 * 1", "2026-12-01T12:00:00Z", Tz::UTC),
        "2026-12-07T00:00:00+00:00"
    );
    // Half past two, and two, come twice; each runs once.
    let first = next("0,30 2 * * *", "2027-10-30T12:00:00Z", Tz::Europe__Berlin);
    assert_eq!(first, "2027-10-31T00:00:00+00:00");
    let second = next("0,30 2 * * *", &first, Tz::Europe__Berlin);
    assert_eq!(second, "2027-10-31T00:30:00+00:00");
    let third = next("0,30 2 * * *", &second, Tz::Europe__Berlin);
    assert_eq!(third, "2027-11-01T01:00:00+00:00");
}
