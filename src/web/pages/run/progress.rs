//! How far a job is, as a bar with figures. Sent up to four times a second, so it says nothing
//! that a screen reader would have to repeat; the stages do that.

use askama::Template;

use crate::{engine::progress::Snapshot, web::words};

#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "run/_progress.html")]
pub struct Progress {
    pub phase: String,
    pub done: String,
    pub stored: Option<String>,
    pub rate: Option<String>,
    pub elapsed: String,
    /// 0 to 99, when there is something to compare with.
    pub percent: Option<u8>,
    pub left: Option<String>,
}

impl Progress {
    pub fn new(snapshot: &Snapshot) -> Self {
        let elapsed = i64::try_from(snapshot.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Self::of(snapshot, elapsed, snapshot.rate())
    }

    fn of(snapshot: &Snapshot, elapsed: i64, rate: u64) -> Self {
        let left = snapshot
            .estimate
            .and_then(|estimate| estimate.checked_sub(snapshot.raw_bytes))
            // The first second's rate foretells nothing.
            .filter(|_| rate > 0 && elapsed >= 1_500)
            .map(|bytes| {
                words::age(i64::try_from(bytes / rate).unwrap_or(i64::MAX / 1_000) * 1_000)
            });
        Self {
            phase: snapshot.phase.clone(),
            done: words::size(snapshot.raw_bytes),
            stored: (snapshot.stored_bytes > 0).then(|| words::size(snapshot.stored_bytes)),
            rate: (rate > 0).then(|| format!("{}/s", words::size(rate))),
            // Whole seconds: tenths would only flicker.
            elapsed: words::duration(elapsed / 1_000 * 1_000),
            percent: snapshot.percent(),
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_estimate_needs_a_rate_and_a_size() {
        let snapshot = Snapshot {
            phase: "Dumping".to_owned(),
            raw_bytes: 100 << 20,
            stored_bytes: 40 << 20,
            estimate: Some(160 << 20),
            since: Instant::now(),
        };
        let shown = Progress::of(&snapshot, 10_400, 10 << 20);
        assert_eq!(shown.percent, Some(62));
        assert_eq!(shown.left.as_deref(), Some("6 s"));
        assert_eq!(shown.elapsed, "10 s");
        assert_eq!(shown.rate.as_deref(), Some("10 MiB/s"));
        assert_eq!(Progress::of(&snapshot, 500, 10 << 20).left, None);
        assert_eq!(Progress::of(&snapshot, 10_000, 0).left, None);
    }
}
