//! When a config's slots come due, and when they are heeded: a schedule in its zone, a few seconds later by
//! the config's jitter, after its blackout. A slot is called by its due time whatever is added to that; what
//! is added follows from the config and the slot alone, so a restart changes nothing.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{
    blackout::Blackout,
    config::ConfigSpec,
    ids::ConfigId,
    schedule::{self, Schedule},
};

/// Seconds: more is a schedule of its own.
pub const MAX_JITTER: u32 = 6 * 60 * 60;

#[derive(Debug, Clone)]
pub struct Calendar {
    config: ConfigId,
    schedule: Schedule,
    zone: Tz,
    jitter: u32,
    blackout: Option<Blackout>,
}

/// A slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its name: when the schedule says so.
    pub slot: DateTime<Utc>,
    /// When it is heeded; never before a slot that is before it.
    pub at: DateTime<Utc>,
    /// End of the blackout that it came in, if it did.
    pub held_until: Option<DateTime<Utc>>,
}

impl Calendar {
    /// None: it only runs by hand.
    pub fn of(config: ConfigId, spec: &ConfigSpec) -> Option<Self> {
        Some(Self {
            config,
            schedule: Schedule::parse(&spec.schedule_cron).ok()?,
            zone: schedule::zone(&spec.time_zone)?,
            jitter: spec.jitter_seconds,
            blackout: Blackout::parse(&spec.blackout).ok(),
        })
    }

    /// Slots after `after`, oldest first.
    pub fn slots(&self, after: DateTime<Utc>) -> impl Iterator<Item = Due> {
        let next = |after| self.schedule.next_after(after, self.zone);
        std::iter::successors(next(after), move |&slot| next(slot)).map(|slot| self.due(slot))
    }

    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Due> {
        self.slots(after).next()
    }

    /// When a slot is heeded next after `now`, one that has passed and waits still among them.
    pub fn next_heeded(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let blackout = self.blackout.as_ref();
        let held_since = blackout.and_then(|it| it.start(now, self.zone));
        let from = held_since.map_or(now, |start| start - TimeDelta::seconds(1));
        let from = from - TimeDelta::seconds(self.jitter.into());
        self.slots(from).map(|due| due.at).find(|at| *at > now)
    }

    pub fn zone(&self) -> Tz {
        self.zone
    }

    fn due(&self, slot: DateTime<Utc>) -> Due {
        let held_until = self.held(slot);
        let free = held_until.unwrap_or(slot);
        let late = free + self.delay(free);
        Due {
            slot,
            at: self.held(late).unwrap_or(late),
            held_until,
        }
    }

    fn held(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.blackout.as_ref()?.end(at, self.zone)
    }

    /// At most the jitter, and at most half of the way to the next slot, so that slots keep their order.
    fn delay(&self, at: DateTime<Utc>) -> TimeDelta {
        if self.jitter == 0 {
            return TimeDelta::zero();
        }
        let next = self.schedule.next_after(at, self.zone);
        let room = next.map_or(i64::MAX, |next| (next - at).num_seconds() / 2);
        let most = u64::from(self.jitter).min(u64::try_from(room).unwrap_or(0));
        let seed = self.config.0.cast_unsigned() ^ at.timestamp().cast_unsigned().rotate_left(32);
        let seconds = spread(seed) % (most + 1);
        TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
    }
}

/// SplitMix64: numbers that lie close come out far apart.
fn spread(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn calendar(config: i64, cron: &str, jitter: u32, blackout: &str) -> Calendar {
        let spec = ConfigSpec {
            schedule_cron: cron.to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            jitter_seconds: jitter,
            blackout: blackout.to_owned(),
            ..ConfigSpec::default()
        };
        Calendar::of(ConfigId(config), &spec).unwrap()
    }

    fn start() -> DateTime<Utc> {
        "2026-03-20T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn slots_keep_their_names_and_their_order() {
        for (cron, jitter, blackout) in [
            ("*/5 * * * *", 3600, ""),
            ("0 * * * *", 600, "08:00-18:00 Mon-Fri"),
            ("30 2 * * *", 7200, "02:00-04:00"),
            ("*/20 1-5 * * *", 0, "22:00-02:30"),
        ] {
            let plain = calendar(1, cron, 0, "");
            let slots: Vec<Due> = calendar(1, cron, jitter, blackout)
                .slots(start())
                .take(2000)
                .collect();
            let names = slots.iter().map(|due| due.slot);
            assert!(names.eq(plain.slots(start()).take(2000).map(|due| due.slot)));
            assert!(slots.is_sorted_by_key(|due| due.at), "{cron}");
            assert!(slots.iter().all(|due| due.at >= due.slot), "{cron}");
            let blackout = Blackout::parse(blackout).ok();
            let held = |due: &Due| {
                let blackout = blackout.as_ref();
                blackout.is_some_and(|it| it.end(due.at, plain.zone).is_some())
            };
            assert!(!slots.iter().any(held), "{cron}");
        }
    }

    #[test]
    fn jitter_spreads_configs_and_a_restart_changes_nothing() {
        let at = |config| {
            calendar(config, "0 2 * * *", 600, "")
                .next_after(start())
                .unwrap()
                .at
        };
        let all: BTreeSet<_> = (1..=200).map(at).collect();
        assert!(all.len() > 150, "{}", all.len());
        let slot = calendar(1, "0 2 * * *", 0, "")
            .next_after(start())
            .unwrap()
            .at;
        let within = |at: &DateTime<Utc>| (0..=600).contains(&(*at - slot).num_seconds());
        assert!(all.iter().all(within));
        assert_eq!(at(7), at(7));
    }

    #[test]
    fn what_waits_is_next() {
        let calendar = calendar(1, "0 * * * *", 0, "08:00-18:00 Mon-Fri");
        let noon = "2026-03-23T11:00:00Z".parse().unwrap();
        let next = calendar.next_heeded(noon).unwrap();
        assert_eq!(next.to_rfc3339(), "2026-03-23T17:00:00+00:00");
    }
}
