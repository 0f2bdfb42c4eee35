# shellcheck shell=bash disable=SC2034
# What the scripts share: steps with their seconds, packages, the container engine. Source it.
#
# A step's output goes to a log whose tail is shown only when the step fails. Steps run in the
# script's own shell, so `set -e` holds inside them: never call `step` in a condition (if, ||, &&).

set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state_home=${XDG_STATE_HOME:-${HOME:-/tmp}/.local/state}
state_dir=${HOLDFAST_STATE_DIR:-$state_home/holdfast-scripts}
mkdir -p "$state_dir"

exec 3>&1 4>&2 # the terminal, for what a step has to show; a daemon must not keep it open
step_name='' step_log=$(mktemp)
trap on_exit EXIT

# step NAME COMMAND [ARG…]
step() {
  local start=$EPOCHREALTIME
  step_name=$1
  shift
  if [[ -t 3 ]]; then printf '  %s …\r' "$step_name" >&3; fi
  "$@" >"$step_log" 2>&1
  report_step "$(seconds_since "$start") s"
  step_name=''
}

report_step() { printf '  %-48s %9s\n' "$step_name" "$1" >&3; }

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

say() { printf '%s\n' "$*" >&3; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

on_exit() {
  local status=$?
  if ((status)) && [[ -n $step_name ]]; then
    report_step FAILED
    tail -n 30 "$step_log" | sed 's/^/    /' >&4
  fi
  if ((status)) && declare -F on_failure >/dev/null; then on_failure >&4 2>&4; fi
  rm -f "$step_log"
  exit "$status"
}

# wait_until SECONDS COMMAND [ARG…]: polls until the command succeeds; fails after the limit.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  else
    command -v sudo >/dev/null || die "$1 needs root: run this as root, or install sudo"
    sudo "$@"
  fi
}

# need_commands COMMAND[=PACKAGE[,PACKAGE]]…: installs the packages of the commands that are missing.
need_commands() {
  local want packages=()
  for want; do
    command -v "${want%%=*}" >/dev/null || packages+=("${want#*=}")
  done
  ((${#packages[@]})) || return 0
  IFS=, read -ra packages <<<"$(
    IFS=,
    echo "${packages[*]}"
  )"
  command -v apt-get >/dev/null || die "install these first: ${packages[*]}"
  # Another apt may hold the lists; the lock time-out covers only the installation.
  wait_until 120 as_root apt-get update -q || as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${packages[@]}"
}

# Makes `docker` answer: an engine that does already (or DOCKER_HOST names) is used as it is, else
# Debian's is installed and started. `engine_started` is 1 when this run started the daemon.
need_engine() {
  engine_started=0
  if docker info >/dev/null 2>&1; then return; fi
  [[ -z ${DOCKER_HOST:-} ]] || die "no container engine answers at DOCKER_HOST=$DOCKER_HOST"
  if command -v dockerd >/dev/null && as_root docker info >/dev/null 2>&1; then
    die "the container engine runs, but $(id -un) may not use it: sudo usermod -aG docker $(id -un), then log in again"
  fi
  need_commands dockerd=docker.io docker=docker.io iptables
  start_engine
  # The group that owns the socket takes a new login to join; who may start the daemon is root anyway.
  as_root chown "$EUID" /var/run/docker.sock
  docker info >/dev/null
}

# No service manager in a container or CI machine, and its policy-rc.d keeps the package from
# starting the daemon: then it is started by hand, out of reach of this script's end.
start_engine() {
  local log=$state_dir/dockerd.log
  engine_started=1
  if [[ -d /run/systemd/system ]]; then
    as_root systemctl start docker
  elif ! as_root docker info >/dev/null 2>&1; then
    forget_dead dockerd /var/run/docker.pid
    forget_dead containerd /var/run/docker/containerd/containerd.pid
    # shellcheck disable=SC2016
    as_root sh -c 'setsid nohup dockerd >"$1" 2>&1 </dev/null 3>&- 4>&- 9>&- &' sh "$log"
  fi
  wait_until 60 as_root docker info || {
    tail -n 15 "$log" || true
    die 'the container engine does not start'
  }
}

# forget_dead PROGRAM FILE: a daemon that was killed leaves its number behind, and refuses to start
# again when that is another's by now.
forget_dead() {
  local pid
  pid=$(as_root cat "$2" 2>/dev/null) || return 0
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]] || as_root rm -f "$2"
}

# Only for an engine that start_engine started.
stop_engine() {
  local pid
  if [[ -d /run/systemd/system ]]; then
    as_root systemctl stop docker.socket docker
  elif pid=$(cat /var/run/docker.pid 2>/dev/null); then
    as_root kill "$pid"
    wait_until 60 test ! -e /var/run/docker.pid || die "dockerd ($pid) does not stop"
  fi
}
