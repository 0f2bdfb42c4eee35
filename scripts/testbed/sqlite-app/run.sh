#!/bin/sh
# Makes DB_PATH (/data/app.db) when it is not there, ROWS (1000) rows in it, and adds one each 200 ms.
DB=${DB_PATH:-/data/app.db}
sqlite3 "$DB" "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, at TEXT, pad BLOB);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<${ROWS:-1000})
  INSERT INTO t(at, pad) SELECT datetime('now'), randomblob(200) FROM n WHERE NOT EXISTS (SELECT 1 FROM t);"
while :; do
  echo ".timeout 5000"
  echo "INSERT INTO t(at, pad) VALUES(datetime('now'), randomblob(200));"
  sleep 0.2
done | sqlite3 "$DB"
