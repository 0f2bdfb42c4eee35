//! Tests: dumps of several databases in one stream.

#![allow(clippy::unwrap_used)]

use super::*;

fn dump(token: &str, body: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict {token}\n\n\
        -- Dumped from database version 15.18\n\nSET client_encoding = 'UTF8';\n{body}\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict {token}\n\n"
    )
}

fn rows(table: &str, rows: &str) -> String {
    format!("COPY public.{table} (x) FROM stdin;\n{rows}\\.\n\n")
}

fn whole(dumps: &[(&str, String)]) -> String {
    let mut stream = marks::head(marks::ALL, "15.18");
    for (name, dump) in dumps {
        stream += &marks::connect(name);
        stream += dump;
    }
    stream + &marks::all_end()
}

fn two() -> String {
    whole(&[
        ("shop", dump("a", &rows("notes", "1\n2\n"))),
        ("it's \"odd\"", dump("b", &rows("notes", "3\n"))),
        ("empty", dump("c", "")),
    ])
}

fn judge(stream: &[u8]) -> Result<Fingerprint, String> {
    let mut validator = Box::new(Dump::default());
    validator.feed(stream);
    validator.finish()
}

#[track_caller]
fn refuses(stream: &str, why: &str) {
    match judge(stream.as_bytes()) {
        Err(fault) => assert!(fault.contains(why), "{fault:?}, not {why:?}: {stream}"),
        Ok(found) => panic!("accepted with {found:?}: {stream}"),
    }
}

/// What goes into each database, over this cut into chunks.
fn split(stream: &str, chunk: usize) -> Vec<(String, String)> {
    let mut judge = Dump::default();
    let mut loaded: Vec<(String, String)> = Vec::new();
    for chunk in stream.as_bytes().chunks(chunk) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let (section, used) = judge.advance(rest);
            assert_eq!(judge.fault(), None);
            let (now, later) = rest.split_at(used);
            rest = later;
            if section == Section::Outside || now.is_empty() {
                continue;
            }
            let name = judge.database().unwrap().to_owned();
            let text = String::from_utf8(now.to_vec()).unwrap();
            match loaded.last_mut() {
                Some((last, all)) if *last == name => *all += &text,
                _ => loaded.push((name, text)),
            }
        }
    }
    loaded
}

#[test]
fn rows_are_counted_by_database() {
    let found = judge(two().as_bytes()).unwrap();
    let counts: Vec<_> = found.counts.iter().map(|(k, n)| (k.as_str(), *n)).collect();
    let expected = [
        ("\"it's \"\"odd\"\"\": public.notes", 1),
        ("empty: large objects", 0),
        ("shop: public.notes", 2),
    ];
    assert_eq!(counts, expected);
    let databases = by_database(&found);
    assert_eq!(databases.len(), 3);
    assert_eq!(databases["shop"].counts["public.notes"], 2);
    assert!(databases["empty"].counts.is_empty());
    assert_eq!(of_all(&databases), found);
}

#[test]
fn each_database_gets_its_own_dump_and_nothing_else() {
    for chunk in [1, 2, 7, 64, 100_000] {
        let loaded = split(&two(), chunk);
        let names: Vec<&str> = loaded.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["shop", "it's \"odd\"", "empty"], "{chunk}");
        for (name, text) in &loaded {
            assert!(!text.contains("\\connect"), "{name}: {text}");
            assert_eq!(text.matches("restrict").count(), 2, "{name}: {text}");
            assert!(text.contains("database dump complete\n"), "{name}");
        }
        assert!(loaded[0].1.contains("\n1\n2\n"));
        assert!(loaded[1].1.contains("\n3\n"));
    }
}

#[test]
fn text_that_looks_like_the_way_to_another_database_is_only_text() {
    let traps = [
        rows("t", "\\\\connect \"other\"\n"),
        "COMMENT ON TABLE t IS 'x\n\\connect \"other\"\n';\n".to_owned(),
        "SELECT $$\n\\connect \"other\"\n$$;\n".to_owned(),
        "-- \\connect \"other\"\n".to_owned(),
        "/*\n\\connect \"other\"\n-- Holdfast dump of all databases complete\n*/\n".to_owned(),
        "-- Holdfast dump of all databases complete\n".to_owned(),
        "CREATE TABLE \"\n\\connect \"\"other\"\"\n\" (x int);\n".to_owned(),
    ];
    for trap in traps {
        let stream = whole(&[("shop", dump("a", &trap)), ("blog", dump("b", ""))]);
        let found = judge(stream.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {trap}"));
        let names: Vec<String> = by_database(&found).into_keys().collect();
        assert_eq!(names, ["blog", "shop"], "{trap}");
        let loaded = split(&stream, 5);
        assert!(loaded[0].1.contains(&trap), "{trap}");
    }
}

#[test]
fn what_is_no_row_of_dumps_is_refused() {
    let shop = || ("shop", dump("a", &rows("notes", "1\n")));
    refuses(&whole(&[]), "should begin");
    refuses(&whole(&[shop(), shop()]), "twice");
    let good = whole(&[shop()]);
    assert!(judge(good.as_bytes()).is_ok());
    for (from, to, why) in [
        ("\\connect \"shop\"", "\\connect shop", "psql command"),
        ("\\connect \"shop\"", "\\! sh", "psql command"),
        ("\\connect \"shop\"", "\\connect \"a=b\"", "="),
        ("\\connect \"shop\"", "\\connect \"template1\"", "template"),
        ("\\connect \"shop\"", " \\connect \"shop\"", "psql command"),
        ("\\connect \"shop\"", "DROP DATABASE shop;", "should begin"),
        ("\\connect \"shop\"", "", "should begin"),
        ("\\connect \"shop\"", "-- x", "should begin"),
        (
            "\\connect \"shop\"\n",
            "\\connect \"shop\"\nSELECT 1;\n",
            "should begin",
        ),
        ("\\unrestrict a\n", "\\unrestrict a\nSELECT 1;\n", "follows"),
        (
            "\\unrestrict a\n",
            "\\unrestrict a\n\\! sh\n",
            "psql command",
        ),
        ("\\unrestrict a\n", "\\connect \"b\"\n", "psql command"),
        ("\\unrestrict a\n", "", "follows"),
        (
            "FROM stdin;\n1\n\\.",
            "FROM stdin;\n1\n\\.\n\\connect \"b\"",
            "psql command",
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        refuses(&bad, why);
    }
    refuses(&format!("{good}{good}"), "follows its end mark");
    refuses(&format!("{good}SELECT 1;"), "follows its end mark");
    refuses(&format!("{good}\\connect \"b\"\n"), "psql command");
    // The next database is read anew.
    let off = whole(&[
        ("a", dump("a", "SET standard_conforming_strings = off;\n")),
        ("b", dump("b", "SELECT '\\';\n")),
    ]);
    assert!(judge(off.as_bytes()).is_ok());
}

/// Cut anywhere, it is refused, unless all that is missing is blank.
#[test]
fn every_truncation_is_found() {
    let stream = two();
    let needed = stream.trim_end().trim_end_matches("\n--").len();
    assert!(judge(&stream.as_bytes()[..needed]).is_ok());
    for end in 0..needed {
        let verdict = judge(&stream.as_bytes()[..end]);
        assert!(verdict.is_err(), "{end}: {verdict:?}");
    }
}

const ROLES: &str = "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict r\n\n\
    SET default_transaction_read_only = off;\n\nCREATE ROLE app;\n\
    ALTER ROLE app WITH LOGIN PASSWORD 'x;\n\\connect \"other\"\n';\nGRANT app TO app2;\n\n\
    \\unrestrict r\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";

fn one_with_roles() -> String {
    let dump = dump("a", &rows("notes", "1\n"));
    marks::head(marks::WITH_ROLES, "15.18") + ROLES + &dump
}

#[test]
fn roles_go_before_one_database_or_all() {
    let one = one_with_roles();
    let all = two().replacen("\\connect", &format!("{ROLES}\\connect"), 1);
    for (stream, rows) in [(&one, "public.notes"), (&all, "shop: public.notes")] {
        let counts = judge(stream.as_bytes()).unwrap().counts;
        assert_eq!(counts["roles"], 1, "{stream}");
        assert!(counts.contains_key(rows), "{counts:?}");
        let mut roles = Vec::new();
        let mut judge = Dump::default();
        for byte in stream.as_bytes() {
            let mut section = Section::Outside;
            let mut used = 0;
            while used == 0 {
                (section, used) = judge.advance(&[*byte]);
                assert_eq!(judge.fault(), None);
            }
            if section == Section::Roles {
                roles.push(*byte);
            }
        }
        let read = Roles::read(&roles).unwrap();
        assert_eq!(read.names().collect::<Vec<_>>(), ["app"]);
        let reads: Vec<&Does> = read.statements.iter().map(|one| &one.does).collect();
        assert_eq!(reads.len(), 4, "{reads:?}");
    }
    for end in 0..one.trim_end().len() {
        let verdict = judge(&one.as_bytes()[..end]);
        assert!(verdict.is_err(), "{end}: {verdict:?}");
    }
}

#[test]
fn roles_that_do_more_are_refused() {
    let one = one_with_roles();
    for (from, to, why) in [
        ("CREATE ROLE app;", "DROP ROLE app;", "DROP ROLE"),
        ("CREATE ROLE app;", "SELECT 1;", "SELECT"),
        ("CREATE ROLE app;", "\\! sh\n", "pg_dumpall"),
        ("CREATE ROLE app;", "\\connect \"shop\"\n", "pg_dumpall"),
        ("CREATE ROLE app;", "CREATE ROLE app", "among its roles"),
        ("TO app2;", "TO app2", "pg_dumpall"),
        ("\\unrestrict r\n", "", "within a statement"),
        (ROLES, "", "should begin"),
        (ROLES, &ROLES.repeat(2), "should begin"),
    ] {
        let bad = one.replacen(from, to, 1);
        assert_ne!(bad, one, "{from}");
        refuses(&bad, why);
    }
}
