use std::collections::BTreeMap;

use super::*;

const HEADER: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n--\n\
    /*!40101 SET NAMES utf8mb4 */;\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\n\nUSE `shop`;\n";
const END: &str = "\n-- Dump completed on 2026-01-01  0:00:00\n";

fn dump(body: &str) -> String {
    format!("{HEADER}{body}{END}")
}

/// Read in pieces of each of these sizes, with one outcome.
#[track_caller]
fn judged(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let all: Vec<_> = [1, 2, 7, 63, 64, 65, 1000, usize::MAX]
        .into_iter()
        .map(|size| {
            let mut dump = Dump::judged();
            text.as_bytes()
                .chunks(size.min(text.len().max(1)))
                .for_each(|chunk| dump.feed(chunk));
            let counts = dump.finish().map(|(fingerprint, _)| fingerprint.counts);
            // Where a fault is seen may depend on how far one looks.
            counts.map_err(|fault| {
                fault
                    .split(" (at byte")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
        })
        .collect();
    for other in &all[1..] {
        assert_eq!(other, &all[0], "{text}");
    }
    all[0].clone()
}

#[track_caller]
fn counts(body: &str, expected: &[(&str, u64)]) {
    let expected = expected
        .iter()
        .map(|(k, n)| ((*k).to_owned(), *n))
        .collect();
    assert_eq!(judged(&dump(body)), Ok(expected), "{body}");
}

#[track_caller]
fn refused(body: &str, words: &str) {
    let fault = judged(&dump(body)).expect_err(body);
    assert!(fault.contains(words), "{body}: {fault}");
}

#[test]
fn rows_are_counted_whatever_is_in_them() {
    let table = "CREATE TABLE `t` (`a` text);\n";
    for (rows, number) in [
        ("(1,'a'),(2,NULL),\n(3,0x00)", 3),
        ("('(((),(')", 1),
        ("('it''s'),('a\\'b'),('\\\\'),('x\\\\\\'),(')", 4),
        (
            "('-- Dump completed'),('\n-- Dump completed\nUSE `mysql`;\n')",
            2,
        ),
        ("(';'),(';;'),('DELIMITER ;;'),('/*!50003 x'),('# x')", 5),
        ("(_binary 'a\\0b\\'('),(-1),(1e-5),(- 2)", 4),
        ("(\"a\\\"),(\"),('`')", 2),
    ] {
        let body = format!(
            "{table}INSERT INTO `t` VALUES {rows};\nINSERT INTO `t` (`a`, `values`) VALUES\n{rows};"
        );
        counts(&body, &[("shop.t", 2 * number)]);
    }
    counts(
        "CREATE TABLE `e` (`a` int);\nLOCK TABLES `e` WRITE;\nUNLOCK TABLES;",
        &[("shop.e", 0)],
    );
    counts(
        "CREATE TABLE `odd ``;'` (x int);\nREPLACE INTO `odd ``;'` VALUES (1);\nUSE `b.c`;\nCREATE TABLE `Ä` (x int);",
        &[("shop.`odd ``;'`", 1), ("`b.c`.`Ä`", 0)],
    );
    // An older tool's stand-in for a view is gone in the end.
    counts(
        "/*!50001 CREATE TABLE `v` (`a` tinyint) ENGINE=MyISAM */;\n/*!50001 DROP TABLE IF EXISTS `v`*/;\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`table`@`database` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */;",
        &[],
    );
}

#[test]
fn code_is_read_with_its_delimiters_and_modes() {
    counts(
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER `x` BEFORE INSERT ON `t` FOR EACH ROW BEGIN\n\
         -- it's ;; a comment\n/* DELIMITER ; ;; */ INSERT INTO t VALUES ('*/;;'); # ;;\nEND */;;\nDELIMITER ;\n\
         CREATE TABLE `t` (`a` int);",
        &[("shop.t", 0)],
    );
    counts(
        "/*!50003 SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\nCREATE PROCEDURE \"a\\\"() SELECT '\\';;\nDELIMITER ;\n\
         /*!50003 SET sql_mode = @saved_sql_mode */ ;\nCREATE TABLE `t` (`a` int);\nINSERT INTO `t` VALUES ('\\'');",
        &[("shop.t", 1)],
    );
}

#[test]
fn what_reaches_out_of_the_databases_is_refused() {
    for (body, words) in [
        ("GRANT ALL ON *.* TO a;", "GRANT"),
        ("CREATE USER a;", "CREATE of something else"),
        ("DROP USER a;", "DROP or ALTER of something else"),
        ("SET GLOBAL x = 1;", "SET GLOBAL"),
        ("SET @@GLOBAL.read_only = 0;", "SET GLOBAL"),
        ("SET @@GLOBAL.GTID_PURGED='x';", "--set-gtid-purged=OFF"),
        ("SET PASSWORD = 'x';", "SET PASSWORD"),
        ("USE mysql;", "the server's own database mysql"),
        ("USE `MySQL`;", "the server's own database"),
        ("CREATE DATABASE `sys`;", "the server's own database"),
        ("USE `hf_undo_1_00000000`;", "a restore of Holdfast left"),
        (
            "INSERT INTO `mysql`.`user` VALUES (1);",
            "together with its database",
        ),
        (
            "CREATE TABLE `mysql`.`x` (a int);",
            "together with its database",
        ),
        (
            "DROP TABLE `a`, `mysql`.`user`;",
            "together with its database",
        ),
        (
            "LOCK TABLES mysql.user WRITE;",
            "together with its database",
        ),
        (
            "ALTER TABLE `mysql`.`user` DISABLE KEYS;",
            "together with its database",
        ),
        ("LOAD DATA INFILE 'x' INTO TABLE t;", "LOAD"),
        (
            "INSERT INTO t SELECT * FROM x;",
            "INSERT without plain values",
        ),
        (
            "INSERT INTO t VALUES (1), (SELECT 1) UNION SELECT 2;",
            "something other than values",
        ),
        ("\\! touch /tmp/owned\n;", "command of the client"),
        ("system touch /tmp/owned\n;", "SYSTEM"),
        ("source /etc/passwd\n;", "SOURCE"),
        ("DELIMITER x\n", "unusual DELIMITER"),
        (
            "/*!50003 CREATE TABLE t (a int); */",
            "within an executable comment",
        ),
        ("SELECT 1;", "SELECT"),
        ("DO SLEEP(1);", "DO"),
        ("CREATE TABLE t (a int);\0", "zero byte"),
        ("/*M!999999\\- enable the sandbox mode */", "sandbox line"),
    ] {
        refused(body, words);
    }
}

#[test]
fn a_cut_or_foreign_file_is_refused() {
    let whole = dump(
        "CREATE TABLE `t` (`a` text);\nINSERT INTO `t` VALUES (1,'a;b'),(2,'\\'');\nCREATE TABLE `u` (x int);\n",
    );
    assert!(judged(&whole).is_ok());
    let end = whole.find("-- Dump completed").unwrap() + "-- Dump completed".len();
    for cut in 0..end {
        assert!(judged(&whole[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(judged(""), Err("it is empty".to_owned()));
    for (text, words) in [
        ("<html>", "does not begin like"),
        ("\u{feff}-- MySQL dump", "byte order mark"),
        ("PK\u{3}\u{4}", "a zip file"),
        (
            "--\n-- PostgreSQL database dump\n--\n",
            "does not begin like",
        ),
    ] {
        assert!(judged(text).unwrap_err().contains(words), "{text}");
    }
    let more = format!("{whole}CREATE TABLE `t` (a int);\n");
    assert!(judged(&more).unwrap_err().contains("follows its end mark"));
    assert!(
        judged("-- MySQL dump 10\nCREATE TABLE t (a int);\n-- Dump completed\n")
            .unwrap_err()
            .contains("--databases")
    );
}

fn parted(text: &str, known: &[&str]) -> (String, Parts) {
    let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let mut dump = Dump::parted("hf_stage", &known);
    let mut tables = Vec::new();
    for chunk in text.as_bytes().chunks(17) {
        dump.feed(chunk);
        tables.extend(dump.tables());
    }
    let (_, parts) = dump.finish().unwrap();
    tables.extend(parts.tables());
    (String::from_utf8(tables).unwrap(), parts)
}

/// What goes where, and under which name for the time being. The sandbox line, which an older client
/// does not know, goes nowhere.
#[test]
fn a_dump_is_parted() {
    let body = "CREATE TABLE `t` (\n  `id` int DEFAULT nextval(`shop`.`s`),\n  CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `other`.`p` (`id`),\n  FOREIGN KEY (`id`) REFERENCES `away`.`p` (`id`)\n);\n\
        INSERT INTO `t` VALUES (1,'USE `shop`;');\n\
        DELIMITER ;;\nCREATE PROCEDURE `p`() SELECT `shop`.`t`.`id` FROM `shop`.`t`;;\nSET @a = 1;;\nDELIMITER ;\n\
        USE `other`;\nCREATE VIEW `v` AS select `shop`.`t`.`id` from `shop`.`t`;\nDROP DATABASE `other`;\n";
    let accounts = "-- Holdfast: 1 accounts of the server, as statements\n-- account: CREATE USER IF NOT EXISTS `a`@`%`;\n--\n";
    let (tables, parts) = parted(&format!("{accounts}{}", dump(body)), &["other", "shop"]);
    assert_eq!(
        tables,
        "/*!40101 SET NAMES utf8mb4 */;\n\
        CREATE DATABASE /*!32312 IF NOT EXISTS*/ `hf_stage_1` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\nUSE `hf_stage_1`;\n\
        CREATE TABLE `t` (\n  `id` int DEFAULT nextval(`hf_stage_1`.`s`),\n  CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `hf_stage_0`.`p` (`id`),\n  FOREIGN KEY (`id`) REFERENCES `away`.`p` (`id`)\n);\n\
        INSERT INTO `t` VALUES (1,'USE `shop`;');\n\
        DELIMITER ;;\nSET @a = 1;;\nDELIMITER ;\nUSE `hf_stage_0`;\n"
    );
    assert_eq!(
        String::from_utf8_lossy(parts.code()),
        "/*!40101 SET NAMES utf8mb4 */;\nUSE `shop`;\n\
        ALTER TABLE `shop`.`t` ALTER COLUMN `id` SET DEFAULT nextval(`shop`.`s`);\n\
        DELIMITER ;;\nCREATE PROCEDURE `p`() SELECT `shop`.`t`.`id` FROM `shop`.`t`;;\nSET @a = 1;;\n\
        DELIMITER ;\nUSE `other`;\nCREATE VIEW `v` AS select `shop`.`t`.`id` from `shop`.`t`;\n"
    );
    assert_eq!(parts.accounts, ["CREATE USER IF NOT EXISTS `a`@`%`;"]);
    assert_eq!(parts.databases, ["other", "shop"]);
}
