# shellcheck shell=bash disable=SC2034
# Names, paths and small helpers that every other file uses.

LAB_NAME=mcp-keyring-lab
LAB_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/mcp-keyring/lab"
LAB_BIN="$LAB_CACHE/$LAB_KUBERNETES_VERSION/bin"

LAB_RUN=/run/$LAB_NAME
LAB_DATA=/var/lib/$LAB_NAME
LAB_LOGS=$LAB_DATA/logs
LAB_CERTS=$LAB_DATA/certs
LAB_KUBECONFIG=$LAB_DATA/admin.kubeconfig

LAB_NODE=lab-node
LAB_NODE_IP=10.200.0.2
LAB_API_PORT=6443
LAB_SERVICE_CIDR=10.96.0.0/16
LAB_API_SERVICE_IP=10.96.0.1
LAB_CLUSTER_CIDR=10.244.0.0/16
LAB_POD_CIDR=10.244.0.0/24

say() { printf '%5.1fs  %s\n' "$(elapsed)" "$*" >&2; }
die() { printf 'lab: %s\n' "$*" >&2; exit 1; }

# Seconds since this command started, with one decimal.
elapsed() {
  local now=${EPOCHREALTIME/[.,]/} began=${LAB_BEGAN/[.,]/}
  local tenths=$(((now - began) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# wait_until <seconds> <command...>: polls ten times a second; fails when the time is over.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# fail_with_log <component> <log folder> <what went wrong>: the one way to report a component that did not start.
fail_with_log() {
  local component=$1 folder=$2 what=$3
  {
    printf 'lab: %s: %s\n' "$component" "$what"
    printf 'lab: last lines of %s/%s.log:\n' "$folder" "$component"
    tail -n 15 "$folder/$component.log" 2>/dev/null | cut -c1-400 | sed 's/^/  | /'
    printf 'lab: all logs are in %s\n' "$folder"
  } >&2
  exit 1
}

need_root() { [[ $EUID -eq 0 ]] || die "this command needs root; run it with sudo"; }

# One lab command that changes something runs at a time. Long-lived children close descriptor 9 (see start_process).
take_lock() {
  mkdir -p "$LAB_CACHE"
  exec 9>"$LAB_CACHE/lock"
  flock -w 900 9 || die "another lab command has held $LAB_CACHE/lock for 15 minutes"
}
