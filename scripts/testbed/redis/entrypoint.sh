#!/bin/sh
# As the official images have it: options, a configuration file, or the server's own name first. Like
# theirs, the server takes connections from everywhere unless it is told otherwise.
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- server "$@"; fi
case $1 in server | "$NAME-server") shift ;; *) exec "$@" ;; esac
case ${1:-} in
  *.conf)
    file=$1
    shift
    set -- "$file" --protected-mode no "$@"
    ;;
  *) set -- --protected-mode no "$@" ;;
esac
if [ "$(id -u)" = 0 ]; then
  find . \! -user "$NAME" -exec chown "$NAME" '{}' +
  umask 0077
  exec setpriv --reuid "$NAME" --regid "$NAME" --init-groups "$NAME-server" "$@"
fi
exec "$NAME-server" "$@"
