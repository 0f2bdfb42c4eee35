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
  make_cluster
  printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
  make_database | postgres --single -c fsync=off -D "$PGDATA" postgres >/dev/null
  local files=(/docker-entrypoint-initdb.d/*)
  [[ ! -e ${files[0]} ]] || run_files "${files[@]}"
}

make_cluster() {
  local made=/usr/local/share/clusters/$POSTGRES_USER
  if [[ -z ${POSTGRES_INITDB_ARGS:-} && -d $made ]]; then
    cp -a "$made/." "$PGDATA"
  else
    # shellcheck disable=SC2086 # several options in one variable, as in the official image
    initdb --no-sync --username="$POSTGRES_USER" ${POSTGRES_INITDB_ARGS:-}
  fi
}

# With the server on the socket only, so that who waits for TCP waits for the real one.
run_files() {
  local file
  PGUSER=$POSTGRES_USER pg_ctl -w start -o "-c listen_addresses=''"
  for file; do
    case $file in
      *.sh) "$file" ;;
      *.sql) sql "$POSTGRES_DB" <"$file" ;;
    esac
  done
  PGUSER=$POSTGRES_USER pg_ctl -w -m fast stop
}

# Each statement in one line, as a server in single-user mode reads them.
make_database() {
  echo "ALTER ROLE $(quoted '"' "$POSTGRES_USER") PASSWORD $(quoted "'" "${POSTGRES_PASSWORD:-}")"
  [[ $POSTGRES_DB == postgres ]] || echo "CREATE DATABASE $(quoted '"' "$POSTGRES_DB")"
}

# quoted MARK TEXT
quoted() { printf '%s%s%s' "$1" "${2//"$1"/"$1$1"}" "$1"; }

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
