//! The dates of a server's own runs, made plausible. A clock may have been wrong for a while, and what was made
//! then must neither age all the others away nor be older than what it followed.

use super::Point;

/// `points`: in the order in which the runs were requested. The most that can have been dated right keep their
/// dates; any other gets that of the one before it, or, as the first, of the one after.
pub fn straighten(points: &mut [Point]) {
    let right = longest_in_order(points);
    let Some(&first) = right.first() else { return };
    let mut date = points[first].at;
    let mut right = right.into_iter().peekable();
    for (index, point) in points.iter_mut().enumerate() {
        if right.next_if_eq(&index).is_some() {
            date = point.at;
        } else {
            point.at = date;
        }
    }
}

/// Indices of the longest sequence whose dates never fall; of several the one that ends earliest.
fn longest_in_order(points: &[Point]) -> Vec<usize> {
    // Of each length the sequence that ends earliest, by its last index.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        let length = ends.partition_point(|&end| points[end].at <= point.at);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut found: Vec<usize> =
        std::iter::successors(ends.last().copied(), |&index| before[index]).collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::RunId;

    /// Runs of these days.
    fn runs(days: &[i64]) -> Vec<Point> {
        let place = |(run, &day): (i64, &i64)| Point {
            run: RunId(run),
            at: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(day),
            raw_bytes: 1000,
            verified: true,
        };
        (1..).zip(days).map(place).collect()
    }

    fn straight(days: &[i64]) -> Vec<i64> {
        let mut points = runs(days);
        straighten(&mut points);
        let day = |point: &Point| (point.at - DateTime::<Utc>::UNIX_EPOCH).num_days();
        points.iter().map(day).collect()
    }

    #[test]
    fn what_cannot_be_right_is_dated_by_what_it_followed() {
        assert_eq!(straight(&[]), [0; 0]);
        assert_eq!(straight(&[7]), [7]);
        assert_eq!(straight(&[1, 2, 2, 3]), [1, 2, 2, 3]);
        // Ahead, and right again.
        assert_eq!(straight(&[1, 2, 3, 4000, 4]), [1, 2, 3, 3, 4]);
        // Behind, as a machine without a clock of its own begins.
        assert_eq!(straight(&[11, 12, 13, 0]), [11, 12, 13, 13]);
        assert_eq!(straight(&[11, 12, 13, 0, 0, 14]), [11, 12, 13, 13, 13, 14]);
        assert_eq!(straight(&[4000, 1, 2]), [1, 1, 2]);
    }

    proptest! {
        #[test]
        fn dates_never_fall_and_right_ones_stay(
            mut days in proptest::collection::vec(0..50_i64, 1..30),
            wrong in any::<prop::sample::Index>(),
            date in -50..100_i64,
        ) {
            let straightened = straight(&days);
            prop_assert!(straightened.is_sorted());
            days.sort_unstable();
            prop_assert_eq!(&straight(&days), &days);
            // One that is wrong moves no other by more than to its neighbour.
            let wrong = wrong.index(days.len());
            days[wrong] = date;
            let moved = straight(&days);
            let others = (0..days.len()).filter(|&it| it != wrong);
            let differ = others.filter(|&it| moved[it] != days[it]).count();
            prop_assert!(differ <= 1, "{days:?} {moved:?}");
        }
    }
}
