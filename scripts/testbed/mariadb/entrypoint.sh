#!/bin/bash
# Initialises an empty data folder as the environment says, then becomes the server.
set -euo pipefail
data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

main() {
  case ${1:-} in
    -*) set -- mariadbd "$@" ;;
    mysqld) set -- mariadbd "${@:2}" ;;
  esac
  [[ $1 == mariadbd ]] || exec "$@"
  set -- /usr/sbin/mariadbd --user=mysql "${@:2}"
  chown mysql:mysql "$data" /run/mysqld
  [[ -d $data/mysql ]] || initialise "$@"
  exec "$@"
}

initialise() {
  local root database user password file server
  root=$(setting ROOT_PASSWORD) database=$(setting DATABASE) user=$(setting USER) password=$(setting PASSWORD)
  if [[ -z $root$(setting ALLOW_EMPTY_ROOT_PASSWORD)$(setting ALLOW_EMPTY_PASSWORD) ]]; then
    echo 'Error: Database is uninitialized and password option is not specified.' >&2
    exit 1
  fi
  mariadb-install-db --user=mysql --datadir="$data" --skip-test-db --auth-root-authentication-method=normal >/dev/null

  # Only on the socket, so that who waits for TCP waits for the real server.
  "$@" --skip-networking --socket="$socket" &
  server=$!
  until sql <<<'SELECT 1' >/dev/null 2>&1; do
    kill -0 "$server"
    sleep 0.1
  done
  {
    # The nameless and the host's own accounts have no password, and would match before the others.
    echo "DROP USER IF EXISTS mysql@localhost, ''@localhost, root@'127.0.0.1', root@'::1', root@'$HOSTNAME', ''@'$HOSTNAME';"
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

# The value of MARIADB_NAME or MYSQL_NAME, or what the file holds that MARIADB_NAME_FILE or MYSQL_NAME_FILE names.
setting() {
  local prefix name file
  for prefix in MARIADB MYSQL; do
    name=${prefix}_$1 file=${prefix}_${1}_FILE
    if [[ -n ${!name:-} ]]; then
      printf %s "${!name}"
      return
    elif [[ -n ${!file:-} ]]; then
      cat "${!file}"
      return
    fi
  done
}

quoted() { printf "'%s'" "$(sed "s/[\\\\']/\\\\&/g" <<<"$1")"; }
named() { printf '`%s`' "${1//\`/\`\`}"; }

sql() {
  local client
  client=$(command -v mariadb || command -v mysql)
  "$client" --no-defaults --default-character-set=utf8mb4 --socket="$socket" -uroot "$@"
}

main "$@"
