#!/bin/bash
# names.sh all|mariadb|mysql: leaves only the command names of that family.
set -euo pipefail
cd /usr/bin

case $1 in
  all) ;;
  mariadb) rm -f mysql mysql[a-z_]* ;;
  mysql)
    for name in mysql mysqladmin mysqldump; do
      program=$(readlink -f "$name")
      rm "$name"
      mv "$program" "$name"
    done
    find . -name 'mariadb*' ! -name mariadb-install-db -delete
    ;;
  *) exit 2 ;;
esac
