/* Holds a WAL database at DB_PATH (/data/app.db), makes ROWS (1000) rows when it has none, and adds one
   each 200 ms. */
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void bye(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  const char *path = getenv("DB_PATH"), *rows = getenv("ROWS");
  char query[512], *error = 0;
  sqlite3 *db;
  signal(SIGTERM, bye);
  signal(SIGINT, bye);
  if (sqlite3_open(path ? path : "/data/app.db", &db)) {
    fprintf(stderr, "open: %s\n", sqlite3_errmsg(db));
    return 1;
  }
  sqlite3_busy_timeout(db, 5000);
  sqlite3_exec(db,
               "PRAGMA journal_mode=WAL;"
               "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, at TEXT, pad BLOB);",
               0, 0, &error);
  snprintf(query, sizeof query,
           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
           "INSERT INTO t(at,pad) SELECT datetime('now'), randomblob(200) FROM n "
           "WHERE NOT EXISTS (SELECT 1 FROM t);",
           rows ? atoi(rows) : 1000);
  sqlite3_exec(db, query, 0, 0, &error);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    const char *add = "INSERT INTO t(at,pad) VALUES(datetime('now'), randomblob(200));";
    if (sqlite3_exec(db, add, 0, 0, &error) != SQLITE_OK) {
      fprintf(stderr, "%s\n", error);
      sqlite3_free(error);
    }
    usleep(200000);
  }
}
