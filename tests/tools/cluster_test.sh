#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs examples/cluster on made slides, locally: all stores there, a bad slide named, a second run
# has nothing to do. Skips (77) without Snakemake; EOSIN_SNAKEMAKE names one that is not on PATH.
#   cluster_test.sh EOSIN SOURCE_FOLDER
set -euo pipefail
eosin=$1 source=$2
snakemake=${EOSIN_SNAKEMAKE:-snakemake}
if ! command -v "$snakemake" >/dev/null; then
  echo "skipped: needs snakemake (apt-get install snakemake, or pip), or set EOSIN_SNAKEMAKE"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache HOME=$work
cd "$work"
"$eosin" synth --out made --slides 3 --width 2048 --height 2048 --no-pen >/dev/null
printf 'no slide' > made/slides/bad.svs
run() {
  "$snakemake" --snakefile "$source/examples/cluster/Snakefile" --cores 2 --config eosin="$eosin" \
    slides=made/slides out=tiles options="--mpp 1 --size 128 --quiet" shards=2 threads=1 mem_mb=1000 "$@" 2>&1
}
fail() { echo "FAILED: $1"; cat log; exit 1; }
run > log || fail "the workflow"
[ "$(ls tiles/*.h5 | wc -l)" = 3 ] || fail "three stores"
grep -q '^3 stores' tiles/summary.txt || fail "the summary counts stores"
grep -q 'failed: .*bad.svs' tiles/summary.txt || fail "the summary names the bad slide"
grep -q 'bad.svs' tiles/failed.csv || fail "failed.csv names the bad slide"
ls -a tiles | grep -q 'part$\|lock$' && fail "nothing half-made is left"
before=$(sha256sum tiles/*.h5)
run > log || fail "the second run"
grep -q 'Nothing to be done' log || fail "the second run has nothing to do"
# A new slide: the others stay as they are.
"$eosin" synth --out more --slides 1 --seed 99 --width 2048 --height 2048 --no-pen >/dev/null
mv more/slides/*.tif* made/slides/later.tiff
run > log || fail "the run with a new slide"
[ "$(ls tiles/*.h5 | wc -l)" = 4 ] || fail "four stores"
[ "$before" = "$(cd . && sha256sum $(echo "$before" | awk '{print $2}'))" ] || fail "old stores unchanged"
echo "ok"
