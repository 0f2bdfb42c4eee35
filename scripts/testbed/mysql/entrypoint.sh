#!/bin/bash
# Initialises an empty data folder as the environment says, then becomes the server.
set -euo pipefail
data=/var/lib/mysql
socket=/var/run/mysqld/mysqld.sock

main() {
  if [[ ${1:-} == -* ]]; then set -- mysqld "$@"; fi
  [[ $1 == mysqld ]] || exec "$@"
  set -- /usr/sbin/mysqld --user=mysql --skip-name-resolve --bind-address='*' "${@:2}"
  chown mysql:mysql "$data" /run/mysqld
  [[ -d $data/mysql ]] || initialise "$@"
  exec "$@"
}

initialise() {
  local root database user password file server
  root=$(setting ROOT_PASSWORD) database=$(setting DATABASE) user=$(setting USER) password=$(setting PASSWORD)
  if [[ -z $root$(setting ALLOW_EMPTY_PASSWORD) ]]; then
    echo 'Error: Database is uninitialized and password option is not specified.' >&2
    exit 1
  fi
  /usr/sbin/mysqld --user=mysql --datadir="$data" --initialize-insecure

  # Only on the socket, so that who waits for TCP waits for the real server.
  "$@" --skip-networking --socket="$socket" &
  server=$!
  until sql <<<'SELECT 1' >/dev/null 2>&1; do
    kill -0 "$server"
    sleep 0.1
  done
  {
    echo "CREATE USER root@'%' IDENTIFIED BY $(quoted "$root"); GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    [[ -z $database ]] || echo "CREATE DATABASE $(named "$database");"
    [[ -z $user ]] || echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
    # In a grant, _ and % of a name are patterns.
    [[ -z $user || -z $database ]] || echo "GRANT ALL ON $(named "$(sed 's/[_%\\]/\\&/g' <<<"$database")").* TO $(quoted "$user")@'%';"
    echo "ALTER USER root@localhost IDENTIFIED BY $(quoted "$root");"
  } | sql
  export MYSQL_PWD=$root
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) "$file" ;;
      *.sql) sql "$database" <"$file" ;;
    esac
  done
  unset MYSQL_PWD
  kill "$server"
  wait "$server"
}

# The value of MYSQL_NAME, or what the file holds that MYSQL_NAME_FILE names.
setting() {
  local name=MYSQL_$1 file=MYSQL_${1}_FILE
  if [[ -n ${!name:-} ]]; then
    printf %s "${!name}"
  elif [[ -n ${!file:-} ]]; then
    cat "${!file}"
  fi
}

quoted() { printf "'%s'" "$(sed "s/[\\\\']/\\\\&/g" <<<"$1")"; }
named() { printf '`%s`' "${1//\`/\`\`}"; }

sql() { mysql --no-defaults --default-character-set=utf8mb4 --socket="$socket" -uroot "$@"; }

main "$@"
