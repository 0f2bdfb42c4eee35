//! Which artifacts of a config stay, which go, and why. Pure: the same history gives the same plan.
//!
//! There is no clock in it. "Older than 30 days" means 30 days before the newest good artifact, so
//! that nothing ages away while no backup succeeds, and repeating a plan later changes nothing. The dates
//! come from a clock all the same, and it may have been wrong: see [`straighten`] and [`Brake::LongPause`].

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{failure::FieldErrors, ids::RunId};

mod dates;

pub use dates::straighten;

/// How long artifacts of successful runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Retention {
    /// The newest `count`.
    Count { count: u32 },
    /// Those younger than `days`.
    Time { days: u32 },
    /// Grandfather, father, son: the newest of each of so many days, weeks, months and years.
    Gfs(Gfs),
}

impl Default for Retention {
    fn default() -> Self {
        Self::Count { count: 7 }
    }
}

/// What one artifact may be kept for, it is kept for all of: they overlap. 0 keeps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gfs {
    #[serde(default)]
    pub keep_last: u32,
    #[serde(default)]
    pub keep_daily: u32,
    #[serde(default)]
    pub keep_weekly: u32,
    #[serde(default)]
    pub keep_monthly: u32,
    #[serde(default)]
    pub keep_yearly: u32,
}

impl Default for Gfs {
    /// What is suggested to somebody who chooses it.
    fn default() -> Self {
        Self {
            keep_last: 3,
            keep_daily: 7,
            keep_weekly: 4,
            keep_monthly: 12,
            keep_yearly: 3,
        }
    }
}

/// A kind of calendar period, in the config's time zone. Weeks are those of ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Which one an instant lies in; later ones are greater.
    fn of(self, at: DateTime<Utc>, zone: Tz) -> (i32, u32) {
        let day = at.with_timezone(&zone).date_naive();
        match self {
            Self::Day => (day.year(), day.ordinal()),
            Self::Week => (day.iso_week().year(), day.iso_week().week()),
            Self::Month => (day.year(), day.month()),
            Self::Year => (day.year(), 0),
        }
    }
}

impl Gfs {
    fn wanted(&self, period: Period) -> u32 {
        match period {
            Period::Day => self.keep_daily,
            Period::Week => self.keep_weekly,
            Period::Month => self.keep_monthly,
            Period::Year => self.keep_yearly,
        }
    }

    fn fields(&self) -> [(&'static str, u32); 5] {
        [
            ("keep_last", self.keep_last),
            ("keep_daily", self.keep_daily),
            ("keep_weekly", self.keep_weekly),
            ("keep_monthly", self.keep_monthly),
            ("keep_yearly", self.keep_yearly),
        ]
    }
}

impl Retention {
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Count { .. } => "count",
            Self::Time { .. } => "time",
            Self::Gfs(_) => "gfs",
        }
    }
}

/// All problems at once, by the names of the API.
pub fn check(retention: &Retention) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    match retention {
        Retention::Count { count } if !(1..=100_000).contains(count) => {
            errors.add("retention_count", "keep between 1 and 100,000 backups");
        }
        Retention::Time { days } if !(1..=36_500).contains(days) => {
            errors.add("retention_days", "keep backups between 1 and 36,500 days");
        }
        Retention::Count { .. } | Retention::Time { .. } => {}
        Retention::Gfs(gfs) => {
            for (name, value) in gfs.fields() {
                if value > 10_000 {
                    errors.add(name, "keep at most 10,000");
                }
            }
            if gfs.fields().iter().all(|(_, value)| *value == 0) {
                errors.add(
                    "retention_mode",
                    "one of keep_last, keep_daily, keep_weekly, keep_monthly and keep_yearly has \
                     to be at least 1",
                );
            }
        }
    }
    errors.into_result()
}

/// A good artifact: that of a successful run, still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub run: RunId,
    /// Of its data: when the attempt started.
    pub at: DateTime<Utc>,
    /// Before compression.
    pub raw_bytes: u64,
    /// It was decompressed and judged as it lies in the target, not only read back.
    pub verified: bool,
}

/// Why an artifact stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The newest good one always does.
    Newest,
    /// One of the newest so many.
    Among(u32),
    /// Younger than so many days.
    Younger(u32),
    /// The newest of one of the last so many periods that have any.
    NewestOf(Period, u32),
}

impl Reason {
    pub fn words(self) -> String {
        let plural = |count: u32, word: &str| match count {
            1 => word.to_owned(),
            _ => format!("{count} {word}s"),
        };
        match self {
            Self::Newest => "the newest good backup".to_owned(),
            Self::Among(1) => "the newest".to_owned(),
            Self::Among(count) => format!("one of the newest {count}"),
            Self::Younger(days) => format!("younger than {}", plural(days.max(2), "day")),
            Self::NewestOf(period, count) => {
                let last = plural(count, period.name());
                format!("the newest of its {}, of the last {last}", period.name())
            }
        }
    }
}

/// Why nothing goes, whatever the rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brake {
    /// Nothing is known to be good.
    NoGoodBackup,
    /// The run that ended last failed, or its backup was found damaged since.
    LastRunFailed,
    /// The newest was not verified as it lies in the target.
    NewestUnverified,
    /// Between the newest few and all others lies more time than the rule keeps: the clock may be wrong.
    LongPause { days: u32 },
    /// The newest holds less than half of what the one before it held.
    NewestShrank { from: u64, to: u64 },
}

impl Brake {
    pub fn words(self) -> &'static str {
        match self {
            Self::NoGoodBackup => "There is no good backup yet.",
            Self::LastRunFailed => {
                "Nothing is deleted, because the last run failed or its backup is damaged."
            }
            Self::NewestUnverified => {
                "Nothing is deleted, because the newest backup was not verified: the config has \
                 that turned off."
            }
            Self::LongPause { .. } => {
                "Nothing is deleted, because all backups before a pause that was longer than the rule keeps \
                 would go at once. Look whether the server's clock is right; once three backups were made \
                 after the pause, the rule is followed again."
            }
            Self::NewestShrank { .. } => {
                "Nothing is deleted, because the newest backup holds less than half of what the \
                 one before it held. Look whether that is right; the next run goes by the rule \
                 again."
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub point: Point,
    /// None: the rule lets it go.
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub brake: Option<Brake>,
    /// Newest first.
    pub verdicts: Vec<Verdict>,
}

impl Plan {
    /// What is to be deleted now, oldest first; nothing while the brake holds.
    pub fn leaving(&self) -> Vec<RunId> {
        if self.brake.is_some() {
            return vec![];
        }
        let gone = self.verdicts.iter().rev();
        gone.filter(|verdict| verdict.reasons.is_empty())
            .map(|verdict| verdict.point.run)
            .collect()
    }

    /// Of artifacts that were found damaged, those that the rule has no room for and that are older than all
    /// that stays. They count for nothing in the plan, and what is left of one, or a good copy of it, is not
    /// deleted while a good one of its time would be kept.
    pub fn outlived(&self, rule: &Retention, zone: Tz, damaged: &[Point]) -> Vec<RunId> {
        if self.brake.is_some() {
            return vec![];
        }
        let staying = self.verdicts.iter().filter(|it| !it.reasons.is_empty());
        let oldest = staying.map(|verdict| verdict.point.at).min();
        let good = self.verdicts.iter().map(|verdict| verdict.point);
        let all = newest_first(good.chain(damaged.iter().copied()));
        let without_room = judge(rule, zone, &all).into_iter();
        without_room
            .filter(|verdict| verdict.reasons.is_empty())
            .map(|verdict| verdict.point)
            .filter(|point| damaged.contains(point) && Some(point.at) < oldest)
            .map(|point| point.run)
            .collect()
    }
}

/// What the rule and the brake say about these artifacts, in whatever order they come. `failed`: the
/// run of the config that ended last did. Failed runs have no point, so they never count.
pub fn plan(rule: &Retention, zone: Tz, points: &[Point], failed: bool) -> Plan {
    let points = newest_first(points.iter().copied());
    Plan {
        brake: brake(rule, &points, failed),
        verdicts: judge(rule, zone, &points),
    }
}

fn newest_first(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut points: Vec<Point> = points.collect();
    points.sort_by_key(|point| std::cmp::Reverse((point.at, point.run)));
    points
}

fn brake(rule: &Retention, newest_first: &[Point], failed: bool) -> Option<Brake> {
    let Some(newest) = newest_first.first() else {
        return Some(Brake::NoGoodBackup);
    };
    if failed {
        return Some(Brake::LastRunFailed);
    }
    if !newest.verified {
        return Some(Brake::NewestUnverified);
    }
    if let Retention::Time { days } = *rule
        && follows_a_pause(newest_first, days)
    {
        return Some(Brake::LongPause { days });
    }
    let before = newest_first.get(1)?;
    (newest.raw_bytes < before.raw_bytes.div_ceil(2)).then_some(Brake::NewestShrank {
        from: before.raw_bytes,
        to: newest.raw_bytes,
    })
}

/// So many backups after a pause say that the clock goes right.
const AFTER_PAUSE: usize = 3;

/// Whether at most two backups come after a pause of so many days, before which they were made more often.
fn follows_a_pause(newest_first: &[Point], days: u32) -> bool {
    let long = TimeDelta::days(i64::from(days));
    let pauses = newest_first.windows(3).take(AFTER_PAUSE - 1);
    let mut pauses = pauses.map(|it| (it[0].at - it[1].at, it[1].at - it[2].at));
    pauses.any(|(pause, usual)| pause > long && usual <= long)
}

pub(super) fn judge(rule: &Retention, zone: Tz, newest_first: &[Point]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = newest_first
        .iter()
        .map(|&point| Verdict {
            point,
            reasons: vec![],
        })
        .collect();
    match rule {
        Retention::Count { count } => keep_newest(&mut verdicts, *count),
        Retention::Time { days } => keep_younger(&mut verdicts, *days),
        Retention::Gfs(gfs) => {
            keep_newest(&mut verdicts, gfs.keep_last);
            for period in Period::ALL {
                keep_newest_of(&mut verdicts, period, gfs.wanted(period), zone);
            }
        }
    }
    // Said only where no other reason is: it tells nothing new to anybody.
    if let Some(newest) = verdicts.first_mut()
        && newest.reasons.is_empty()
    {
        newest.reasons.push(Reason::Newest);
    }
    verdicts
}

fn keep_newest(verdicts: &mut [Verdict], count: u32) {
    for verdict in verdicts.iter_mut().take(count as usize) {
        verdict.reasons.push(Reason::Among(count));
    }
}

fn keep_younger(verdicts: &mut [Verdict], days: u32) {
    let Some(now) = verdicts.first().map(|newest| newest.point.at) else {
        return;
    };
    for verdict in verdicts {
        if now - verdict.point.at < TimeDelta::days(i64::from(days)) {
            verdict.reasons.push(Reason::Younger(days));
        }
    }
}

/// Periods without any artifact use up no place.
fn keep_newest_of(verdicts: &mut [Verdict], period: Period, wanted: u32, zone: Tz) {
    let mut found = 0;
    let mut last = None;
    for verdict in verdicts {
        let this = Some(period.of(verdict.point.at, zone));
        if found == wanted {
            return;
        }
        if this != last {
            last = this;
            found += 1;
            verdict.reasons.push(Reason::NewestOf(period, wanted));
        }
    }
}
