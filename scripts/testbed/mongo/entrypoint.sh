#!/bin/bash
# Becomes the server, as the user that the data belongs to.
set -euo pipefail

if [[ ${1:-} == -* ]]; then set -- mongod "$@"; fi
if [[ $1 == mongod ]] && ((EUID == 0)); then
  chown -R mongodb /data/db
  exec gosu mongodb "$@"
fi
exec "$@"
