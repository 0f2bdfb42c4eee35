//! A made-up dump that compresses like a real one (`gzip -6` makes 0.39 of it): ids, times,
//! UUIDs, JSON and prose in `COPY` rows. The same bytes on every machine.

use std::fmt::Write;

/// Small and good enough; not for secrets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Few often, many seldom, as words are.
    fn seldom(&mut self, end: u64) -> u64 {
        let (a, b) = (self.below(end), self.below(end) + 1);
        a * b / end * self.below(b) / b
    }
}

/// At least `bytes` of whole rows.
pub fn dump(bytes: usize) -> Vec<u8> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let words: Vec<String> = (0..6000).map(|_| word(&mut random)).collect();
    let mut text = String::with_capacity(bytes + 4096);
    text.push_str("COPY public.orders (id, uid, at, state, data, note) FROM stdin;\n");
    let (mut id, mut at) = (1_000_000_u64, 1_700_000_000_u64);
    while text.len() < bytes {
        id += 1;
        at += random.below(90);
        let (high, low) = (random.next(), random.next());
        let state = ["open", "paid", "sent", "done"][usize::try_from(random.below(4)).unwrap_or(0)];
        let (customer, cents, items) =
            (random.seldom(50_000), random.below(99_999), random.below(9));
        let pick = |random: &mut Random| &words[usize::try_from(random.seldom(6000)).unwrap_or(0)];
        let (name, place) = (pick(&mut random), pick(&mut random));
        let _ = write!(
            text,
            "{id}\t{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\t2026-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00\t{state}\t\
             {{\"customer\": {customer}, \"total\": {}.{:02}, \"items\": {items}, \"name\": \"{name}\", \"city\": \"{place}\", \"token\": \"{:016x}{:016x}\"}}\t",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low & 0xfff,
            low >> 16,
            at / 2_592_000 % 12 + 1,
            at / 86_400 % 28 + 1,
            at / 3600 % 24,
            at / 60 % 60,
            at % 60,
            random.below(1_000_000),
            cents / 100,
            cents % 100,
            random.next(),
            random.next(),
        );
        for _ in 0..4 + random.below(40) {
            text.push_str(pick(&mut random));
            text.push(' ');
        }
        text.push('\n');
    }
    text.push_str("\\.\n");
    text.into_bytes()
}

fn word(random: &mut Random) -> String {
    const PARTS: [&str; 24] = [
        "an", "be", "cor", "den", "el", "fa", "gi", "hol", "in", "ka", "lo", "mer", "na", "or",
        "pe", "qui", "ra", "sto", "ter", "un", "ve", "wa", "xe", "zi",
    ];
    let parts = 1 + random.below(4);
    (0..parts)
        .map(|_| PARTS[usize::try_from(random.below(24)).unwrap_or(0)])
        .collect()
}
