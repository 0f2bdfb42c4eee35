#![allow(clippy::unwrap_used)]

use super::*;

fn int(value: i64) -> Vec<u8> {
    let mut bytes = vec![u8::from(value < 0)];
    bytes.extend(&u32::try_from(value.abs()).unwrap().to_le_bytes());
    bytes
}

fn text(value: Option<&str>) -> Vec<u8> {
    value.map_or(int(-1), |text| {
        [int(i64::try_from(text.len()).unwrap()), text.into()].concat()
    })
}

/// An entry of the table of contents, in the words of this minor version.
struct Entry<'a> {
    id: i64,
    kind: &'a str,
    definition: &'a str,
    copy: Option<&'a str>,
    dumps: bool,
}

impl Entry<'_> {
    fn bytes(&self, version: u8) -> Vec<u8> {
        let mut bytes = [
            int(self.id),
            int(i64::from(self.dumps)),
            text(Some("1259")),
            text(Some("16391")),
            text(Some("notes")),
            text(Some(self.kind)),
            int(2),
            text(Some(self.definition)),
            text(Some("DROP TABLE public.notes;\n")),
            text(self.copy),
            text(Some("public")),
            text(None),
        ]
        .concat();
        if version >= 14 {
            bytes.extend(text(Some("heap")));
        }
        if version >= 16 {
            bytes.extend(int(114));
        }
        bytes.extend(text(Some("app")));
        bytes.extend(text(Some("false")));
        bytes.extend(text(Some("3")));
        bytes.extend(text(None));
        bytes.push(if self.dumps { 1 } else { 3 });
        bytes.extend([0; 8]);
        bytes
    }
}

fn head(version: u8, compression: u8, entries: i64) -> Vec<u8> {
    let mut bytes = b"PGDMP\x01".to_vec();
    bytes.extend([version, 0, 4, 8, 1]);
    if version >= 15 {
        bytes.push(compression);
    } else {
        bytes.extend(int(i64::from(compression)));
    }
    (0..7).for_each(|_| bytes.extend(int(7)));
    bytes.extend(text(Some("shop")));
    bytes.extend(text(Some("15.18 (Debian)")));
    bytes.extend(text(Some("15.18")));
    bytes.extend(int(entries));
    bytes
}

fn rows(id: i64, pieces: &[&str]) -> Vec<u8> {
    let mut bytes = vec![ROWS];
    bytes.extend(int(id));
    for piece in pieces {
        bytes.extend(text(Some(piece)));
    }
    bytes.extend(int(0));
    bytes
}

const TABLE: Entry<'static> = Entry {
    id: 3,
    kind: "TABLE",
    definition: "CREATE TABLE public.notes (x text DEFAULT 'a;b');\n",
    copy: None,
    dumps: false,
};

fn archive(version: u8) -> Vec<u8> {
    let entry = |id, kind, copy| Entry {
        id,
        kind,
        definition: "",
        copy,
        dumps: true,
    };
    let encoding = Entry {
        id: 1,
        kind: "ENCODING",
        definition: "SET client_encoding = 'LATIN1';\n",
        ..TABLE
    };
    let strings = Entry {
        id: 2,
        kind: "STDSTRINGS",
        definition: "SET standard_conforming_strings = 'on';\n",
        ..TABLE
    };
    let data = entry(4, "TABLE DATA", Some("COPY public.notes (x) FROM stdin;\n"));
    let empty = entry(
        5,
        "TABLE DATA",
        Some("COPY public.\"Odd\" (x) FROM stdin;\n"),
    );
    let blobs = entry(6, "BLOBS", None);
    let mut bytes = head(version, 0, 6);
    for entry in [&encoding, &strings, &TABLE, &data, &empty, &blobs] {
        bytes.extend(entry.bytes(version));
    }
    bytes.extend(rows(4, &["one\n\\\\.\ntw", "o\n\\", ".\n\n\n"]));
    bytes.extend(rows(5, &["\\.\n\n\n"]));
    bytes.push(LARGE_OBJECTS_BLOCK);
    bytes.extend(int(6));
    for number in [4711, 4712] {
        bytes.extend(int(number));
        bytes.extend(text(Some("large")));
        bytes.extend(int(0));
    }
    bytes.extend(int(0));
    bytes
}

fn judge(bytes: &[u8], chunk: usize) -> Result<BTreeMap<String, u64>, String> {
    let mut archive = Archive::default();
    bytes.chunks(chunk).for_each(|chunk| archive.feed(chunk));
    archive.finish()
}

#[track_caller]
fn refuses(bytes: &[u8], why: &str) {
    let fault = judge(bytes, usize::MAX).unwrap_err();
    assert!(fault.contains(why), "{fault}, not {why}");
}

#[test]
fn rows_are_counted_in_each_version_over_any_cut() {
    for version in 12..=16 {
        let bytes = archive(version);
        for chunk in [1, 3, 50, bytes.len()] {
            let counts = judge(&bytes, chunk).unwrap();
            let counts: Vec<_> = counts.iter().map(|(k, n)| (k.as_str(), *n)).collect();
            let expected = [
                ("large objects", 2),
                ("public.\"Odd\"", 0),
                ("public.notes", 3),
            ];
            assert_eq!(counts, expected, "1.{version} in pieces of {chunk}");
        }
        let mut archive = Archive::default();
        archive.feed(&bytes);
        assert_eq!(archive.server(), Some("15.18 (Debian)"));
        assert_eq!(archive.encoding(), Some("LATIN1"));
    }
}

#[test]
fn every_truncation_is_found() {
    for version in [12, 16] {
        let bytes = archive(version);
        for end in 0..bytes.len() {
            assert!(judge(&bytes[..end], usize::MAX).is_err(), "{end}");
        }
        let more = [&bytes[..], b"\n"].concat();
        refuses(&[&more[..], &[0; 8]].concat(), "announce");
    }
}

/// Whatever is flipped is judged the same over any cut, and never panics. What is not noticed is within
/// names, rows and times, which have no checksum; the count stays what it was or is another.
#[test]
fn every_bit_may_flip() {
    let bytes = archive(16);
    let mut noticed = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let whole = judge(&flipped, usize::MAX).map_err(drop);
        let in_pieces = judge(&flipped, 7).map_err(drop);
        assert_eq!(in_pieces, whole, "bit {bit}");
        noticed += usize::from(whole.is_err());
    }
    assert!(noticed > bytes.len(), "{noticed} of {}", bytes.len() * 8);
}

#[test]
fn what_is_no_archive_of_ours_is_refused() {
    refuses(b"", "empty");
    refuses(b"PK\x03\x04....", "zip");
    refuses(b"Postgres", "does not begin");
    refuses(&head(16, 1, 0), "--compress=0");
    refuses(&head(14, 5, 0), "--compress=0");
    refuses(&head(17, 0, 0), "unknown version");
    let with = |entry: Entry<'_>| [head(16, 0, 1), entry.bytes(16)].concat();
    for definition in [
        "ALTER SYSTEM SET a = 'b';",
        "DROP DATABASE shop;",
        "COPY t FROM PROGRAM 'sh';",
        "COPY t FROM stdin;",
        "SELECT 1 \\! sh\n;",
        "SELECT 1",
        "SELECT 'x;",
        "INSERT INTO t VALUES (1);",
        "SET standard_conforming_strings = 'off';",
        "SELECT \0;",
    ] {
        let bytes = with(Entry {
            definition,
            ..TABLE
        });
        assert!(judge(&bytes, usize::MAX).is_err(), "{definition}");
    }
    let database = Entry {
        kind: "DATABASE",
        definition: "CREATE DATABASE shop;",
        ..TABLE
    };
    assert_eq!(judge(&with(database), usize::MAX), Ok(BTreeMap::new()));
    let inserts = Entry {
        kind: "TABLE DATA",
        dumps: true,
        ..TABLE
    };
    refuses(&with(inserts), "INSERT");
    let twice = [head(16, 0, 2), TABLE.bytes(16), TABLE.bytes(16)].concat();
    refuses(&twice, "two entries");
}
