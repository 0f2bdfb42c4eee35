-- What is nasty in a database of MySQL and MariaDB, in three databases of one server.
SET sql_mode = '';
SET NAMES utf8mb4;
SET foreign_key_checks = 0;
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE DATABASE `odd ``name.1; $(id) --` CHARACTER SET latin1 COLLATE latin1_german1_ci;
CREATE DATABASE `Empty`;
USE shop;

CREATE TABLE digits (d INT PRIMARY KEY);
INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);

CREATE TABLE events (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at DATETIME(6) NOT NULL,
  kind ENUM('seen', 'it''s', 'a,b') NOT NULL,
  note VARCHAR(200),
  KEY (kind, at),
  FULLTEXT KEY words (note)
) ENGINE=InnoDB COMMENT='rows; -- many ''of'' them';
INSERT INTO events (at, kind, note)
  SELECT '2024-01-01' + INTERVAL (a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d) SECOND,
    1 + (a.d + b.d) % 3, CONCAT(SHA2(RAND(a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d), 256), '\n\t\\'' ', e.d)
  FROM digits a, digits b, digits c, digits d, digits e WHERE e.d < 6;
DELETE FROM events WHERE id % 1000 = 0;

CREATE TABLE texts (id INT PRIMARY KEY, body TEXT, wide LONGTEXT, old VARCHAR(50) CHARACTER SET latin1);
INSERT INTO texts VALUES
  (1, '', NULL, 'äöü'),
  (2, NULL, '', ''),
  (3, '''); DROP TABLE events; -- ', '日本語 🐘 é e\u0301 \0 zero', 'ß'),
  (4, '\n-- Dump completed\nDELIMITER ;;\n/*!50003 CREATE*/ \\! touch /tmp/owned\n', REPEAT('("\\''),(', 3000), NULL),
  (5, 'ends with a backslash \\', 'NULL', '\\N'),
  (6, '/* open', '*/ closed', '`'),
  (7, '"', '''''', '\r\n\Z');

CREATE TABLE bytes (id INT PRIMARY KEY, b BLOB, f BINARY(4), v VARBINARY(300), bits BIT(13));
INSERT INTO bytes VALUES (1, 0x00, 0x00, '', b'0'), (2, '', 0x27, NULL, b'1111111111111'), (3, NULL, NULL, 0x5c27220a0d1a00, NULL);
INSERT INTO bytes SELECT 10 + a.d + 10 * b.d + 100 * c.d, CHAR(a.d + 10 * b.d + 100 * c.d), CHAR(a.d, b.d, c.d, 39), REPEAT(CHAR(a.d + 10 * b.d + 100 * c.d), 7), a.d
  FROM digits a, digits b, digits c WHERE a.d + 10 * b.d + 100 * c.d < 256;

CREATE TABLE numbers (
  z DATE, zt DATETIME, ts TIMESTAMP NULL, t TIME(6), y YEAR,
  big BIGINT UNSIGNED, small TINYINT, dec_ DECIMAL(65,30), f DOUBLE, s SET('a','b','c;d')
);
INSERT INTO numbers VALUES
  ('0000-00-00', '0000-00-00 00:00:00', '2038-01-19 03:14:07', '-838:59:59', 1901, 18446744073709551615, -128, -99999999999999999999999999999999999.999999999999999999999999999999, 1.7976931348623157e308, 'a,b'),
  ('2024-02-30', '2024-00-10 00:00:00', NULL, '00:00:00.000001', 0, 0, 127, 0, -2.2250738585072014e-308, ''),
  ('9999-12-31', NULL, '1970-01-01 00:00:01', NULL, 2155, NULL, NULL, 1e-30, 0.1, NULL);

CREATE TABLE zeros (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT);
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO zeros VALUES (0, 1), (5, 2);
SET sql_mode = '';

CREATE TABLE made (
  id INT PRIMARY KEY, a INT, `order` VARCHAR(20) DEFAULT 'it''s',
  twice INT GENERATED ALWAYS AS (a * 2) STORED, text_ VARCHAR(30) GENERATED ALWAYS AS (CONCAT(a, ';')) VIRTUAL,
  doc JSON, CONSTRAINT positive CHECK (a > 0), UNIQUE KEY `odd ``key` (`order`)
);
INSERT INTO made (id, a, `order`, doc) VALUES (1, 7, 'x', '{"a": ["\\"", "''"]}'), (2, 8, NULL, 'null');

CREATE TABLE `Weird ``name; DROP TABLE events; --` (`a ``b` INT, `select` INT, `日本` INT);
INSERT INTO `Weird ``name; DROP TABLE events; --` VALUES (1, 2, 3);
CREATE TABLE `select` (`values` INT, PRIMARY KEY (`values`));
INSERT INTO `select` (`values`) VALUES (1), (2);
CREATE TABLE `empty` (x INT);

CREATE TABLE parents (id INT PRIMARY KEY, child INT, CONSTRAINT `the ``child` FOREIGN KEY (child) REFERENCES children (id) ON DELETE SET NULL);
CREATE TABLE children (id INT PRIMARY KEY, parent INT, self INT,
  CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE, FOREIGN KEY (self) REFERENCES children (id));
INSERT INTO parents VALUES (1, 1), (2, NULL);
INSERT INTO children VALUES (1, 2, 1), (2, 1, 1);
CREATE TABLE `odd ``name.1; $(id) --`.across (id INT, name VARCHAR(20), FOREIGN KEY (id) REFERENCES shop.parents (id));
INSERT INTO `odd ``name.1; $(id) --`.across VALUES (2, 'ä');
CREATE TABLE parts (id INT, d DATE, PRIMARY KEY (id, d)) PARTITION BY RANGE (YEAR(d)) (PARTITION p1 VALUES LESS THAN (2020), PARTITION p2 VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1, '2019-05-05'), (2, '2024-05-05');
CREATE TABLE flat (id INT PRIMARY KEY, v VARCHAR(10)) ENGINE=MyISAM;
INSERT INTO flat VALUES (1, 'x'), (2, NULL);
CREATE TABLE log (n INT NOT NULL AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100));

CREATE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW z_seen AS SELECT id, note FROM events WHERE kind = 'seen' WITH CASCADED CHECK OPTION;
CREATE VIEW a_seen AS SELECT COUNT(*) AS `number of; 'them'` FROM z_seen;
CREATE VIEW across_all AS SELECT p.id, a.name FROM parents p JOIN `odd ``name.1; $(id) --`.across a ON a.id = p.id;
USE `odd ``name.1; $(id) --`;
CREATE VIEW back AS SELECT COUNT(*) AS n FROM shop.events;
USE shop;

DELIMITER //
CREATE TRIGGER first BEFORE INSERT ON children FOR EACH ROW
BEGIN
  -- a comment; with a semicolon, and a ' quote
  /* DELIMITER ;; */
  INSERT INTO log (what) VALUES (CONCAT('a; ', NEW.id, ' */'));
END//
CREATE TRIGGER `second; "` BEFORE INSERT ON children FOR EACH ROW FOLLOWS first SET @x = 'b''//' //
CREATE DEFINER = `nobody``x`@`10.%` PROCEDURE `odd ``proc`(IN a INT, OUT b VARCHAR(10))
  COMMENT 'it''s' SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE i INT DEFAULT 0; # end of line; '
  WHILE i < a DO SET i = i + 1; END WHILE;
  SET b = 'x;//';
END//
CREATE FUNCTION plus(a INT) RETURNS INT DETERMINISTIC RETURN a + 1//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'later;'
  DO BEGIN DELETE FROM log WHERE n < 0; SET @y = '//'; END//
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'//
CREATE PROCEDURE "ansi ""name"() BEGIN SELECT '\', "id" FROM "events" WHERE 'a;' = '\' LIMIT 1; END//
SET sql_mode = ''//
DELIMITER ;

CREATE USER app@'%' IDENTIFIED BY 'pässw0rd ''x';
GRANT ALL ON shop.* TO app@'%';
CREATE USER reader@'10.%' IDENTIFIED BY 'r';
GRANT SELECT (id, note), UPDATE (note) ON shop.events TO reader@'10.%' WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION shop.plus TO reader@'10.%';
GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE shop.`odd ``proc` TO reader@'10.%';
CREATE ROLE night;
GRANT SELECT ON shop.* TO night;
GRANT night TO app@'%';

/*M!100400 CREATE SEQUENCE numbers_of START WITH 100 INCREMENT BY 10 NOCACHE */;
/*M!100400 CREATE TABLE counted (id BIGINT DEFAULT NEXT VALUE FOR numbers_of, x INT) */;
/*M!100400 INSERT INTO counted (x) VALUES (1), (2) */;
/*M!100400 CREATE TABLE versions (x INT) WITH SYSTEM VERSIONING */;
/*M!100400 INSERT INTO versions VALUES (1) */;
/*M!100400 UPDATE versions SET x = 2 */;
/*!80023 CREATE TABLE hidden (a INT PRIMARY KEY, b INT INVISIBLE DEFAULT (1 + 2), KEY ((a + b))) */;
/*!80023 INSERT INTO hidden (a, b) VALUES (1, 5) */;
