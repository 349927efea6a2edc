# shellcheck shell=bash
# Long-lived processes and their pid files. A pid file holds the pid and the start time of the process, so that a stale file
# never points at a stranger that was given the same pid later.

# Field 22 of /proc/<pid>/stat. The command name (field 2) may hold spaces: cut after its closing parenthesis.
process_start_time() {
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  read -r -a fields <<<"${stat##*) }"
  [[ ${fields[0]} != Z ]] || return 1
  printf '%s' "${fields[19]}"
}

# live_pid <pid file>: prints the pid when that very process still runs.
live_pid() {
  local pid started _
  [[ -f $1 ]] && read -r pid started _ <"$1" && [[ -n ${started:-} ]] || return 1
  [[ $(process_start_time "$pid") == "$started" ]] || return 1
  printf '%s' "$pid"
}

# record_pid <pid file> <pid> [pid of the process outside the node that waits for it]
record_pid() { printf '%s %s %s\n' "$2" "$(process_start_time "$2")" "${3:-}" >"$1"; }

# start_process <pid folder> <log folder> <name> <command...>
start_process() {
  local pids=$1 logs=$2 name=$3
  shift 3
  if live_pid "$pids/$name.pid" >/dev/null; then return 0; fi
  mkdir -p "$pids" "$logs"
  setsid "$@" >>"$logs/$name.log" 2>&1 </dev/null 9>&- &
  record_pid "$pids/$name.pid" $!
}

# start_in_node <name> <command...>: the same, inside the namespaces of the node. nsenter forks to enter the pid namespace, so
# the process to record is its child.
start_in_node() {
  local name=$1 holder parent child=''
  shift
  if live_pid "$LAB_RUN/$name.pid" >/dev/null; then return 0; fi
  holder=$(node_pid)
  setsid nsenter --target "$holder" --mount --net --pid -- "$@" >>"$LAB_LOGS/$name.log" 2>&1 </dev/null 9>&- &
  parent=$!
  for _ in {1..100}; do
    read -r child _ < <(cat "/proc/$parent/task/$parent/children" 2>/dev/null) || true
    [[ -n $child ]] && break
    kill -0 "$parent" 2>/dev/null || break
    sleep 0.02
  done
  [[ -n $child ]] || fail_with_log "$name" "$LAB_LOGS" 'the process did not start'
  record_pid "$LAB_RUN/$name.pid" "$child" "$parent"
}

# stop_process <pid file> [seconds]: SIGTERM, then SIGKILL after the given time (10 s unless told).
stop_process() {
  local file=$1 seconds=${2:-10} pid
  if pid=$(live_pid "$file"); then
    kill -TERM "$pid" 2>/dev/null || true
    if ! wait_until "$seconds" process_gone "$file"; then
      kill -KILL "$pid" 2>/dev/null || true
      wait_until 5 process_gone "$file" || die "process $pid ($file) does not end"
    fi
  fi
  rm -f "$file"
}

process_gone() { ! live_pid "$1"; }

# await_component <pid file> <log folder> <name> <seconds> <probe...>: waits for the probe; reports at once when the process dies.
await_component() {
  local file=$1 logs=$2 name=$3 end=$((SECONDS + $4))
  shift 4
  until "$@" >/dev/null 2>&1; do
    live_pid "$file" >/dev/null || fail_with_log "$name" "$logs" 'the process ended'
    ((SECONDS < end)) || fail_with_log "$name" "$logs" 'is not ready in time'
    sleep 0.1
  done
}
