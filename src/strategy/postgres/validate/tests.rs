#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc123\n\n\
    -- Dumped from database version 15.18\n\nSET client_encoding = 'UTF8';\n\
    SET standard_conforming_strings = on;\n\
    SELECT pg_catalog.set_config('search_path', '', false);\n\n";
const TAIL: &str = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc123\n\n";

type Verdict = Result<Fingerprint, String>;

fn judge(dump: &[u8]) -> Verdict {
    judge_cut(dump, &[])
}

fn judge_cut(dump: &[u8], cuts: &[usize]) -> Verdict {
    let mut validator = Box::new(Dump::default());
    let mut from = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (dump.len() + 1)).collect();
    cuts.sort_unstable();
    for cut in cuts {
        validator.feed(&dump[from..cut]);
        from = cut;
    }
    validator.feed(&dump[from..]);
    validator.finish()
}

fn within(body: &str) -> Verdict {
    judge(format!("{HEAD}{body}{TAIL}").as_bytes())
}

#[track_caller]
fn counts(body: &str, expected: &[(&str, u64)]) {
    let found = within(body).unwrap_or_else(|fault| panic!("{fault}: {body}"));
    let expected: Vec<_> = expected
        .iter()
        .map(|(t, n)| ((*t).to_owned(), *n))
        .collect();
    assert_eq!(
        found.counts.into_iter().collect::<Vec<_>>(),
        expected,
        "{body}"
    );
}

#[track_caller]
fn refuses(dump: &str, why: &str) {
    match judge(dump.as_bytes()) {
        Err(fault) => assert!(fault.contains(why), "{fault:?}, not {why:?}: {dump}"),
        Ok(found) => panic!("accepted with {found:?}: {dump}"),
    }
}

#[track_caller]
fn refuses_within(body: &str, why: &str) {
    refuses(&format!("{HEAD}{body}{TAIL}"), why);
}

#[test]
fn rows_are_counted_by_table() {
    counts("", &[]);
    counts(
        "COPY public.a (x) FROM stdin;\n1\n2\n\\.\n\n",
        &[("public.a", 2)],
    );
    counts("COPY public.a (x) FROM stdin;\n\\.\n", &[("public.a", 0)]);
    counts(
        "COPY public.nothing  FROM stdin;\n\n\n\\.\n",
        &[("public.nothing", 2)],
    );
    counts(
        "COPY public.a (x) FROM stdin;\r\n1\r\n\\.\r\n",
        &[("public.a", 1)],
    );
    let twice = "COPY public.p (x) FROM stdin;\n1\n\\.\nCOPY public.p (x) FROM stdin;\n2\n\\.\n";
    counts(twice, &[("public.p", 2)]);
    counts(
        "COPY t (x) FROM stdin;\n\\\\.\n\\N\n\\\\\n.\n\\.\n",
        &[("public.t", 4)],
    );
    counts("copy T (x) from STDIN;\n1\n\\.\n", &[("public.t", 1)]);
}

#[test]
fn odd_names_stay_apart() {
    counts(
        "COPY \"a.b\".c (x) FROM stdin;\n1\n\\.\n",
        &[("\"a.b\".c", 1)],
    );
    counts(
        "COPY a.\"b.c\" (x) FROM stdin;\n1\n\\.\n",
        &[("a.\"b.c\"", 1)],
    );
    counts(
        "COPY \"Ünï; --\".\"two\nlines\"\"\" (\"col\numn)\") FROM stdin;\n1\n\\.\n",
        &[("\"Ünï; --\".\"two\nlines\"\"\"", 1)],
    );
    counts(
        "COPY public.\"COPY x FROM stdin;\" (\"(\") FROM stdin;\n1\n\\.\n",
        &[("public.\"COPY x FROM stdin;\"", 1)],
    );
    assert_eq!(table_key(b"s", b"caf\xe9"), "s.\"\\x636166e9\"");
}

#[test]
fn text_that_looks_like_a_dump_is_only_text() {
    let traps = [
        "'COPY x FROM stdin;\n1\n\\.\n'",
        "E'it\\'s \\\\! \\\\'",
        "'C:\\'",
        "$$ '\\! sh $a$ $$",
        "$body$ $$ $bod$ \\! $body $body$",
        "$_é1$ $_é$ \\! $_é1$",
        "B'01'",
        "X'1f'",
        "N'it''s \\'",
        "'two''quotes\\! '",
        "\"a column \\! '\"\" $$\"",
        "'-- PostgreSQL database dump complete'",
        "1 /* \\! /* nested */ ' */",
        "1 -- \\! '",
        "1 - 2 / 3 * 4",
        "a[1:2]::text || $1",
        "a$b",
    ];
    for trap in traps {
        counts(&format!("SELECT {trap}\n;\n"), &[]);
        counts(&format!("CREATE VIEW v AS SELECT ({trap}\n);\n"), &[]);
    }
    counts("-- COPY x FROM stdin;\n-- \\! sh\n", &[]);
    let atomic = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC\n SELECT CASE WHEN true \
        THEN 1 END;\n SELECT 2;\nEND;\nCOPY t (x) FROM stdin;\n1\n\\.\n";
    counts(atomic, &[("public.t", 1)]);
    counts(
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; COPY);\n",
        &[],
    );
}

#[test]
fn strings_with_backslashes_follow_the_setting() {
    let off = "SET standard_conforming_strings = off;\nSELECT 'it\\'s \\! ';\n";
    counts(off, &[]);
    refuses_within("SELECT 'it\\' \\! ';\n", "\\!");
    refuses_within(
        "SET SESSION standard_conforming_strings = off;\n",
        "unusual",
    );
    refuses_within("SELECT E'a'\n'b';\n", "several parts");
    refuses_within(
        "SET standard_conforming_strings = off;\nSELECT U&'\\';\n",
        "unusual",
    );
}

#[test]
fn inserts_are_counted_too() {
    counts(
        "INSERT INTO public.a VALUES (1, '(),(');\n",
        &[("public.a", 1)],
    );
    counts(
        "INSERT INTO a (x, y) OVERRIDING SYSTEM VALUE VALUES (1, 2), (3, (4));\n",
        &[("public.a", 2)],
    );
    counts(
        "INSERT INTO public.\"B\" DEFAULT VALUES;\n",
        &[("public.\"B\"", 1)],
    );
    counts(
        "INSERT INTO a VALUES\n\t(1),\n\t(2) ON CONFLICT DO NOTHING;\n",
        &[("public.a", 2)],
    );
    refuses_within("INSERT INTO a SELECT 1;\n", "cannot be counted");
}

#[test]
fn large_objects_are_counted() {
    let made = "SELECT pg_catalog.lo_create('16391');\nSELECT pg_catalog.lo_create('16392');\n";
    counts(made, &[("large objects", 2)]);
    counts("SELECT pg_catalog.lowrite(0, '\\x31');\n", &[]);
}

#[test]
fn what_reaches_out_of_the_database_is_refused() {
    for command in [
        "!",
        "! touch /tmp/owned",
        "connect other",
        "c other",
        "i /etc/passwd",
        "copy t from x",
        "o |sh",
        "g |sh",
        "gexec",
        "set x y",
        "restrict again",
        "unrestrict abc123",
        ".",
        ";",
        "",
    ] {
        refuses_within(&format!("\\{command}\n"), "psql command");
        refuses_within(&format!("SELECT 1 \\{command}\n;\n"), "psql command");
        refuses_within(&format!("SELECT 1;\\{command}\n"), "psql command");
        refuses_within(&format!("-- x\r\\{command}\n"), "psql command");
        refuses_within(&format!("SELECT $a$ $a$\\{command}\n"), "psql command");
        refuses_within(&format!("SELECT a\\{command}\n"), "psql command");
        refuses_within(&format!("SELECT 1\\{command}\n"), "psql command");
        refuses_within(
            &format!("COPY t FROM stdin;\n\\.\n\\{command}\n"),
            "psql command",
        );
    }
    let atomic = "CREATE FUNCTION f() BEGIN ATOMIC; COPY a FROM stdin;\n\\! sh\n\\.\n";
    refuses_within(atomic, "psql command");
    for copy in [
        "COPY t FROM PROGRAM 'sh'",
        "COPY t TO PROGRAM 'sh'",
        "COPY t FROM '/etc/passwd'",
        "COPY (SELECT 1) TO stdout",
        "COPY t (a) TO stdout",
        "COPY t FROM stdin WITH CSV",
        "COPY t FROM PROGRAM 'sh' WHERE a IS DISTINCT FROM stdin",
        "COPY a.b.c FROM stdin",
    ] {
        refuses_within(&format!("{copy};\n1\n\\.\n"), "COPY that is not FROM stdin");
    }
    for statement in [
        "DROP DATABASE shop",
        "create database x",
        "ALTER DATABASE shop RENAME TO x",
        "ALTER SYSTEM SET archive_command = 'sh'",
        "CREATE ROLE x SUPERUSER",
        "ALTER USER app SUPERUSER",
        "DROP TABLESPACE x",
    ] {
        refuses_within(&format!("{statement};\n"), "beyond one database");
    }
    counts(
        "CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'x');\n",
        &[],
    );
    refuses_within("SET client_encoding = 'SJIS';\n", "encoding sjis");
    refuses_within("SELECT 1e'\\' \\! ';\n", "number");
    refuses_within("SELECT 1$a$ \\! $a$;\n", "number");
}

#[test]
fn what_is_not_one_whole_dump_is_refused() {
    refuses("", "empty");
    refuses("hello", "does not begin");
    refuses("<html>404</html>\n", "does not begin");
    refuses("SELECT 1;\n", "does not begin");
    refuses(
        "--\n-- PostgreSQL database cluster dump\n--\n",
        "pg_dumpall",
    );
    refuses("PGDMP\u{1}\u{e}", "within its head");
    refuses("toc.dat", "tar format");
    let gzip = judge(b"\x1f\x8b\x08\x00\x00").unwrap_err();
    assert!(gzip.contains("gzip"), "{gzip}");

    let whole = format!("{HEAD}COPY t (x) FROM stdin;\n1\n\\.\nSELECT 1;\n{TAIL}");
    assert!(judge(whole.as_bytes()).is_ok());
    refuses(&format!("{whole}{whole}"), "follows its end mark");
    refuses(&format!("{whole}junk"), "follows its end mark");
    refuses(&format!("{whole}-- x\n"), "follows its end mark");
    refuses(
        &format!("{whole}{}", "\n".repeat(2000)),
        "follows its end mark",
    );
    refuses(
        &whole.replace("SELECT 1;", "SELECT 1"),
        "within a statement",
    );
    refuses(&whole.replace("\\.\n", ""), "within the rows of public.t");
    refuses(&whole.replace("\\.\n", "\\.x\n"), "begins like the end");
    refuses(&whole.replace("stdin;", "stdin; --"), "on its line");
    refuses(&whole.replace("SELECT 1", "SELECT \0"), "NUL");
    refuses(&whole.replace("\n1\n", "\n\0\n"), "NUL");
    refuses(
        &whole.replace("\\unrestrict abc123", "\\unrestrict abc124"),
        "psql command",
    );
    refuses(&whole.replace("\\restrict abc123", ""), "psql command");

    let old = whole
        .replace("\\restrict abc123", "")
        .replace("\\unrestrict abc123", "");
    assert!(judge(old.as_bytes()).is_ok());
}

/// Cut anywhere, it is refused, unless all that is missing is blank.
#[test]
fn every_truncation_is_found() {
    let dump = format!(
        "{HEAD}CREATE FUNCTION f() AS $$ ';\\. $$;\nCOPY t (x) FROM stdin;\n1\n\\\\.\n\\.\n\
        SELECT E'\\'', \"a\"\"b\" /* c */;\n{TAIL}"
    );
    let needed = dump.trim_end().len();
    for end in 0..dump.len() {
        assert_eq!(
            judge(&dump.as_bytes()[..end]).is_ok(),
            end >= needed,
            "{end}"
        );
    }
}

/// Pieces from which any order makes a dump, with the rows they bring to public.t0 … public.t2.
fn piece() -> impl Strategy<Value = (String, Option<(u8, u64)>)> {
    let row = "[a-z.N\\t \\\\]{0,12}".prop_map(|row| row.replace('\\', "\\\\") + "\n");
    let rows = (0..3_u8, prop::collection::vec(row, 0..40)).prop_map(|(table, rows)| {
        let text = format!(
            "COPY public.t{table} (x) FROM stdin;\n{}\\.\n\n",
            rows.concat()
        );
        (text, Some((table, rows.len() as u64)))
    });
    let inserts = (0..3_u8, 1..5_usize).prop_map(|(table, rows)| {
        let values = vec!["(1, ';)(')"; rows].join(", ");
        let text = format!("INSERT INTO public.t{table} VALUES {values};\n");
        (text, Some((table, rows as u64)))
    });
    let other = prop::sample::select(vec![
        "SELECT '\\', E'\\'\\\\', $a$ $$ \\. $b$ $a$;\n",
        "-- Name: x; Type: TABLE\n",
        "/* COPY /* x */ */ CREATE TABLE \"a\"\"'b\" (x text);\n",
        "COMMENT ON TABLE x IS 'COPY y FROM stdin;\n\\.\n';\n",
        "SELECT pg_catalog.set_config('a', 'b', false);\n\n",
    ])
    .prop_map(|text| (text.to_owned(), None));
    prop_oneof![rows, inserts, other]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn counts_are_exact_over_any_cut(
        pieces in prop::collection::vec(piece(), 0..12),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let mut expected = std::collections::BTreeMap::new();
        let mut body = String::new();
        for (text, rows) in &pieces {
            write!(body, "{text}").unwrap();
            if let Some((table, rows)) = rows {
                *expected.entry(format!("public.t{table}")).or_insert(0) += rows;
            }
        }
        let dump = format!("{HEAD}{body}{TAIL}");
        prop_assert_eq!(judge_cut(dump.as_bytes(), &cuts).unwrap().counts, expected);
    }

    /// Damaged in any way it is judged the same over any cut, and never panics.
    #[test]
    fn damage_is_judged_the_same_over_any_cut(
        pieces in prop::collection::vec(piece(), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        damage in prop::collection::vec((any::<usize>(), prop::sample::select(b"\\'\"$-/*;.\n\r\0a1(E".to_vec())), 0..4),
    ) {
        let body: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
        let mut dump = format!("{HEAD}{body}{TAIL}").into_bytes();
        for (at, byte) in damage {
            let at = at % dump.len();
            dump[at] = byte;
        }
        let whole = judge(&dump);
        prop_assert_eq!(&judge_cut(&dump, &cuts), &whole);
        let each: Vec<usize> = (0..dump.len()).collect();
        prop_assert_eq!(&judge_cut(&dump, &each), &whole);
    }
}
