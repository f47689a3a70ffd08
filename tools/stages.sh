# SPDX-License-Identifier: Apache-2.0
# Shared by tools/demo, tools/test and .ci/run: a few lines a stage, the rest in build/logs.
# shellcheck shell=bash

logs=$PWD/build/logs
mkdir -p "$logs"

# stage NAME COMMAND...: runs quietly; on failure shows the end of the log and stops.
stage() {
  local name=$1 start=$SECONDS log
  shift
  log=$logs/${name//[^a-zA-Z0-9]/-}.log
  printf '== %s\n' "$name"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf 'error: %s failed after %d s\nhint: the whole log is %s\n' "$name" $((SECONDS - start)) "$log" >&2
    exit 1
  fi
  printf '   %s: %d s\n' "$name" $((SECONDS - start))
}

build_jobs() { # at most 2: a LibTorch file takes over a GB to compile
  local cores
  cores=$(nproc)
  echo $((cores < 2 ? 1 : 2))
}
