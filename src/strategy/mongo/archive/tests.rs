use crc::{CRC_64_XZ, Crc};
use proptest::prelude::*;

use super::{bson::Writer, scan::TERMINATOR, staging::Staging, *};

const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];

fn text_document(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new();
    for (name, text) in fields {
        writer.text(name, text).unwrap();
    }
    writer.finish().unwrap()
}

fn listed(database: &str, name: &str, metadata: &str) -> Vec<u8> {
    text_document(&[
        ("db", database),
        ("collection", name),
        ("metadata", metadata),
        ("type", ""),
    ])
}

fn header(database: &str, name: &str, end: Option<u64>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text("db", database).unwrap();
    writer.text("collection", name).unwrap();
    let value = |kind, bytes| bson::Value { kind, bytes };
    let ended = [u8::from(end.is_some())];
    writer.value("EOF", value(8, &ended));
    let checksum = end.unwrap_or(0).to_le_bytes();
    writer.value("CRC", value(0x12, &checksum));
    writer.finish().unwrap()
}

fn document(size: usize) -> Vec<u8> {
    text_document(&[("x", &"y".repeat(size))])
}

/// An archive of collections in two blocks each, interleaved.
fn archive(collections: &[(&str, &str, &[usize])], views: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(text_document(&[
        ("version", "0.1"),
        ("server_version", "7.0.14"),
    ]));
    for (database, name, _) in collections {
        bytes.extend(listed(database, name, "{\"indexes\":[]}"));
    }
    for (database, name) in views {
        bytes.extend(listed(
            database,
            name,
            "{\"options\":{\"viewOn\":\"things\"}}",
        ));
    }
    bytes.extend(TERMINATOR);
    for half in 0..2 {
        for (database, name, sizes) in collections {
            bytes.extend(header(database, name, None));
            let (first, second) = sizes.split_at(sizes.len() / 2);
            let sizes = if half == 0 { first } else { second };
            bytes.extend(sizes.iter().flat_map(|size| document(*size)));
            bytes.extend(TERMINATOR);
        }
    }
    for (database, name, sizes) in collections {
        let all: Vec<u8> = sizes.iter().flat_map(|size| document(*size)).collect();
        let checksum = Crc::<u64>::new(&CRC_64_XZ).checksum(&all);
        bytes.extend(header(database, name, Some(checksum)));
        bytes.extend(TERMINATOR);
    }
    for (database, name) in views {
        bytes.extend(header(database, name, Some(0)));
        bytes.extend(TERMINATOR);
    }
    bytes
}

fn usual() -> Vec<u8> {
    archive(
        &[
            ("shop", "things", &[1, 20, 300, 1_500, 5]),
            ("shop", "empty", &[]),
            ("other", "x.y", &[7]),
            ("admin", "system.users", &[9, 9]),
            ("shop", "hf_undo_3_00c0ffee.things", &[4]),
        ],
        &[("shop", "seen")],
    )
}

fn judge(bytes: &[u8], pieces: usize) -> Result<Fingerprint, String> {
    let mut check = Box::new(ArchiveCheck::default());
    bytes.chunks(pieces).for_each(|chunk| check.feed(chunk));
    check.finish()
}

#[test]
fn documents_are_counted_whatever_the_pieces() {
    let bytes = usual();
    for pieces in [1, 2, 3, 4, 5, 7, 64, 1000, 65_536, bytes.len()] {
        let found = judge(&bytes, pieces).unwrap();
        let counts: Vec<_> = found.counts.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        assert_eq!(
            counts,
            [
                ("other.x.y", 1),
                ("shop.empty", 0),
                ("shop.things", 5),
                ("view shop.seen", 0)
            ]
        );
    }
}

#[test]
fn every_missing_end_is_found() {
    let bytes = usual();
    for length in 0..bytes.len() {
        assert!(judge(&bytes[..length], 60_000).is_err(), "{length} bytes");
    }
    assert!(judge(&[&bytes[..], &[0]].concat(), 60_000).is_err());
    assert!(judge(&[&bytes[..], &TERMINATOR].concat(), 60_000).is_err());
}

#[test]
fn damage_in_documents_is_found() {
    let bytes = usual();
    let mut missed = Vec::new();
    for at in 0..bytes.len() {
        for flip in [1u8, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if judge(&damaged, 50_000).is_ok_and(|found| found == judge(&bytes, 50_000).unwrap()) {
                missed.push(at);
            }
        }
    }
    let body = bytes.windows(3).position(|w| w == b"yyy").unwrap();
    assert!(
        !missed.iter().any(|at| bytes[*at] == b'y' && *at > body),
        "{missed:?}"
    );
}

#[test]
fn what_cannot_be_put_in_its_place_is_refused() {
    for (collections, views, words) in [
        (vec![], vec![], "holds no collection"),
        (
            vec![("admin", "system.users", &[1][..])],
            vec![],
            "holds no collection",
        ),
        (
            vec![("shop", "system.js", &[1][..])],
            vec![],
            "system collection",
        ),
        (vec![("", "oplog", &[1][..])], vec![], "oplog"),
        (
            vec![("shop", "a", &[1][..]), ("shop", "a", &[1][..])],
            vec![],
            "twice",
        ),
        (vec![("sh.op", "a", &[1][..])], vec![], "no name"),
        (vec![("shop", "", &[1][..])], vec![], "no name"),
    ] {
        let error = judge(&archive(&collections, &views), 1000).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let mut bytes = usual();
    bytes[0] = 0;
    assert!(judge(&bytes, 1000).unwrap_err().contains("not an archive"));
    assert!(judge(b"", 1).unwrap_err().contains("empty"));
    assert!(
        judge(b"-- PostgreSQL database dump", 5)
            .unwrap_err()
            .contains("not an archive")
    );
    let mut timeseries = MAGIC.to_vec();
    timeseries.extend(text_document(&[("version", "0.1")]));
    timeseries.extend(listed(
        "shop",
        "heat",
        "{\"options\":{\"timeseries\":{\"timeField\":\"t\"}}}",
    ));
    assert!(
        judge(&timeseries, 1000)
            .unwrap_err()
            .contains("time series")
    );
    let mut newer = MAGIC.to_vec();
    newer.extend(text_document(&[("version", "0.2")]));
    assert!(judge(&newer, 1000).unwrap_err().contains("version 0.2"));
}

fn staged(bytes: &[u8], pieces: usize) -> Vec<u8> {
    let (mut scanner, mut staging) = (Scanner::default(), Staging::new("hf_stage_1_aaaaaaaa."));
    let mut out = Vec::new();
    for chunk in bytes.chunks(pieces) {
        scanner.feed(chunk, &mut staging);
        out.extend(staging.take());
    }
    assert_eq!(scanner.fault(), None);
    scanner.finish().unwrap();
    out
}

#[test]
fn an_archive_under_other_names_is_one_too() {
    let bytes = usual();
    let whole = staged(&bytes, bytes.len());
    for pieces in [1, 3, 4, 1000] {
        assert!(staged(&bytes, pieces) == whole, "pieces of {pieces}");
    }
    let mut scanner = Scanner::default();
    scanner.feed(&whole, &mut ());
    let found = scanner.finish().unwrap();
    let found: Vec<_> = found.iter().map(|c| (c.full_name(), c.documents)).collect();
    let expected = [
        ("shop.hf_stage_1_aaaaaaaa.things", 5),
        ("shop.hf_stage_1_aaaaaaaa.empty", 0),
        ("other.hf_stage_1_aaaaaaaa.x.y", 1),
        ("shop.hf_stage_1_aaaaaaaa.seen", 0),
    ];
    assert_eq!(found, expected.map(|(name, n)| (name.to_owned(), n)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), start in 0..200usize) {
        let usual = usual();
        let mixed = [&usual[..start], &bytes[..]].concat();
        prop_assert!(judge(&mixed, 7).is_err() || bytes.is_empty());
    }
}
