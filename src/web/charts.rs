//! Charts as geometry: the server draws, the browser shows, and each says in words what it shows.
//! One path a tone instead of one element a bar keeps 200 strips small.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

use super::words;
use crate::readmodel::overview::Beat;

/// Bars of a strip.
pub const BARS: usize = 30;
const STEP: usize = 5;

/// The last runs of an app or config, oldest first, as a row of bars. The shapes differ as well as
/// the colours: a failure is a broken bar, a warning an exclamation mark, nothing yet a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strip {
    paths: Vec<(&'static str, String)>,
    /// The text twin.
    pub said: String,
}

impl Strip {
    /// `beats` newest first, as they are listed.
    pub fn new<'a>(beats: impl IntoIterator<Item = &'a Beat>) -> Self {
        let beats: Vec<&Beat> = beats.into_iter().take(BARS).collect();
        let mut paths: Vec<(&'static str, String)> = Vec::new();
        for bar in 0..BARS {
            let x = bar * STEP + 3;
            let beat = (BARS - bar).checked_sub(1).and_then(|i| beats.get(i));
            let (tone, shape) = match beat {
                None => ("none", format!("M{x} 17v.1")),
                Some(beat) => bar_of(beat, x),
            };
            match paths.iter_mut().find(|(name, _)| *name == tone) {
                Some((_, path)) => path.push_str(&shape),
                None => paths.push((tone, shape)),
            }
        }
        Self {
            paths,
            said: strip_in_words(&beats),
        }
    }
}

fn bar_of(beat: &Beat, x: usize) -> (&'static str, String) {
    match beat.status.as_str() {
        "success" if beat.warned => ("warn", format!("M{x} 3v8.5M{x} 17v.1")),
        "success" => ("ok", format!("M{x} 3v14")),
        "failed" | "damaged" | "missing" => ("bad", format!("M{x} 3v3.5M{x} 13.5v3.5")),
        "cancelled" => ("idle", format!("M{x} 14v3")),
        _ => ("run", format!("M{x} 9v8")),
    }
}

fn strip_in_words(beats: &[&Beat]) -> String {
    if beats.is_empty() {
        return "No run yet".to_owned();
    }
    let count = |status: &str| beats.iter().filter(|beat| beat.status == status).count();
    let mut said = match beats.len() {
        1 => format!("{} of 1 run succeeded", count("success")),
        all => format!("{} of the last {all} runs succeeded", count("success")),
    };
    let last_failures = beats
        .iter()
        .skip_while(|beat| !matches!(beat.status.as_str(), "success" | "failed"))
        .take_while(|beat| beat.status == "failed")
        .count();
    match (count("failed"), last_failures) {
        (0, _) => {}
        (failed, 0) => {
            let _ = write!(said, ", {failed} failed");
        }
        (_, 1) => said.push_str(", the newest failed"),
        (_, last) => {
            let _ = write!(said, ", the newest {last} failed");
        }
    }
    match beats.iter().filter(|beat| beat.is_damaged()).count() {
        0 => {}
        1 => said.push_str(", 1 is damaged since"),
        damaged => {
            let _ = write!(said, ", {damaged} are damaged since");
        }
    }
    said
}

impl fmt::Display for Strip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"<svg class="strip" viewBox="0 0 {} 20" preserveAspectRatio="none" role="img" aria-label="{}"><title>{}</title>"#,
            BARS * STEP + 1,
            self.said,
            self.said
        )?;
        for (tone, path) in &self.paths {
            write!(f, r#"<path class="{tone}" d="{path}"/>"#)?;
        }
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Strip {}

/// How sizes went, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trend {
    line: String,
    last: (u64, u64),
    pub said: String,
}

const WIDTH: u64 = 96;
const HEIGHT: u64 = 24;
const EDGE: u64 = 3;

impl Trend {
    /// `None` with fewer than two sizes: a point is no trend. `sizes` newest first.
    pub fn new(sizes: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut sizes: Vec<u64> = sizes.into_iter().take(BARS).collect();
        sizes.reverse();
        let (&[first, .., last], Some(&low), Some(&high)) =
            (sizes.as_slice(), sizes.iter().min(), sizes.iter().max())
        else {
            return None;
        };
        // A change of less than a tenth stays a gentle slope: the scale begins below the least.
        let span = (high - low).max(high / 10).max(1);
        let steps = sizes.len() as u64 - 1;
        let points: Vec<(u64, u64)> = sizes
            .iter()
            .zip(0..)
            .map(|(size, i)| {
                let up = u128::from(size - low) * u128::from(HEIGHT - 2 * EDGE) / u128::from(span);
                let x = EDGE + i * (WIDTH - 2 * EDGE) / steps;
                (x, HEIGHT - EDGE - u64::try_from(up).unwrap_or(0))
            })
            .collect();
        let line = points.iter().fold(String::new(), |mut line, (x, y)| {
            let _ = write!(line, "{}{x} {y}", if line.is_empty() { "M" } else { "L" });
            line
        });
        let went = match first.cmp(&last) {
            std::cmp::Ordering::Less => "grew",
            std::cmp::Ordering::Equal => "stayed",
            std::cmp::Ordering::Greater => "shrank",
        };
        let said = format!(
            "Size {went} from {} to {} over {} backups",
            words::size(first),
            words::size(last),
            sizes.len()
        );
        Some(Self {
            line,
            last: points.last().copied().unwrap_or_default(),
            said,
        })
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, last, said } = self;
        let (x, y) = last;
        write!(
            f,
            r#"<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}"><title>{said}</title><path class="area" d="{line}V{HEIGHT}H{EDGE}Z"/><path class="line" d="{line}"/><circle class="end" cx="{x}" cy="{y}" r="2"/></svg>"#
        )
    }
}

impl HtmlSafe for Trend {}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(statuses: &[&str]) -> Vec<Beat> {
        statuses
            .iter()
            .map(|status| Beat {
                id: 1,
                app_id: 1,
                backup_config_id: 1,
                status: (*status).to_owned(),
                warned: false,
                lacks_copy: false,
                size_bytes: None,
                requested_at: 0,
                started_at: None,
                finished_at: None,
            })
            .collect()
    }

    #[test]
    fn a_strip_says_what_it_shows() {
        for (statuses, said) in [
            (vec![], "No run yet"),
            (vec!["success"], "1 of 1 run succeeded"),
            (vec!["success"; 40], "30 of the last 30 runs succeeded"),
            (
                vec!["failed", "failed", "success"],
                "1 of the last 3 runs succeeded, the newest 2 failed",
            ),
            (
                vec!["success", "damaged", "success"],
                "2 of the last 3 runs succeeded, 1 is damaged since",
            ),
            (
                vec!["running", "failed", "success"],
                "1 of the last 3 runs succeeded, the newest failed",
            ),
            (
                vec!["success", "failed"],
                "1 of the last 2 runs succeeded, 1 failed",
            ),
        ] {
            assert_eq!(Strip::new(&beats(&statuses)).said, said);
        }
    }

    #[test]
    fn a_strip_shows_the_newest_at_its_end() {
        let strip = Strip::new(&beats(&["failed", "success"]));
        let path = |tone| {
            &strip
                .paths
                .iter()
                .find(|(name, _)| *name == tone)
                .unwrap()
                .1
        };
        assert_eq!(path("ok"), "M143 3v14");
        assert!(path("bad").starts_with("M148 "));
    }

    #[test]
    fn a_trend_needs_two_sizes_and_stays_inside() {
        assert_eq!(Trend::new([5]), None);
        let trend = Trend::new([300, 200, 100]).unwrap();
        assert_eq!(trend.line, "M3 21L48 12L93 3");
        assert_eq!(trend.said, "Size grew from 100 B to 300 B over 3 backups");
        assert_eq!(Trend::new([7, 7]).unwrap().line, "M3 21L93 21");
        assert!(Trend::new([u64::MAX, 0]).is_some());
    }
}
