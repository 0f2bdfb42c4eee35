#!/bin/bash
# Initialises an empty data folder as the environment says, then becomes the server.
set -euo pipefail

main() {
  if [[ ${1:-} == -* ]]; then set -- postgres "$@"; fi
  [[ $1 == postgres ]] || exec "$@"
  if ((EUID == 0)); then
    mkdir -p "$PGDATA"
    chown -R postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
  fi
  [[ -s $PGDATA/PG_VERSION ]] || initialise
  exec "$@"
}

initialise() {
  local name
  for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_INITDB_ARGS; do from_file "$name"; done
  : "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=${POSTGRES_USER}}" "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
  if [[ -z ${POSTGRES_PASSWORD:-} && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
    echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
    exit 1
  fi
  # shellcheck disable=SC2086 # several options in one variable, as in the official image
  initdb --no-sync --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"

  # Only on the socket, so that who waits for TCP waits for the real server.
  PGUSER=$POSTGRES_USER pg_ctl -w start -o "-c listen_addresses=''"
  [[ $POSTGRES_DB == postgres ]] || sql postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) "$file" ;;
      *.sql) sql "$POSTGRES_DB" <"$file" ;;
    esac
  done
  PGUSER=$POSTGRES_USER pg_ctl -w -m fast stop
}

# NAME_FILE holds the value of NAME.
from_file() {
  local file=${1}_FILE
  if [[ -n ${!file:-} ]]; then printf -v "$1" %s "$(<"${!file}")"; fi
}

sql() {
  local database=$1
  shift
  psql -X -v ON_ERROR_STOP=1 --no-password --username "$POSTGRES_USER" --dbname "$database" "$@"
}

main "$@"
