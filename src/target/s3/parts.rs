//! How large the parts of an upload are. A store takes 10,000 parts of at least 5 MiB, and nobody
//! knows how long a dump will be: so parts begin small, for the sake of memory, and grow.

const MIB: usize = 1 << 20;
const FIRST: usize = 8 * MIB;
/// Parts of one size; then it doubles, six times at most.
const STEP: usize = 500;
const DOUBLINGS: usize = 6;
/// Bytes under way at once, as long as one part is not more than that.
const IN_FLIGHT: usize = 256 * MIB;
const PARALLEL: usize = 4;

/// Parts that a store takes.
pub const MAX: usize = 10_000;

/// Bytes of the part of this index (the first is 0).
pub fn size(index: usize) -> usize {
    FIRST << (index / STEP).min(DOUBLINGS)
}

/// Parts of this size that are sent at once; one more is being filled meanwhile.
pub fn parallel(size: usize) -> usize {
    (IN_FLIGHT / size).clamp(1, PARALLEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_are_more_than_three_tebibytes() {
        let whole: usize = (0..MAX).map(size).sum();
        assert!(whole > 3 << 40, "{whole}");
        // No store takes a larger part, nor a smaller one but the last.
        assert!((0..MAX).all(|index| (5 * MIB..=5 << 30).contains(&size(index))));
    }

    #[test]
    fn memory_is_bounded() {
        let held = |index| (parallel(size(index)) + 1) * size(index);
        assert_eq!(held(0), 40 * MIB);
        assert_eq!((0..MAX).map(held).max(), Some(1024 * MIB));
        let small = (0..1500).map(held).max(); // 28 GB
        assert_eq!(small, Some(160 * MIB));
    }
}
