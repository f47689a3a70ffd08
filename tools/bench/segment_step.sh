#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Step time of eosin's DeepLabV3 against the same step in Python torch, in turns on one machine, and
# what frozen stages and kept features save.
#   tools/bench/segment_step.sh [ROUNDS=9] [THREADS=2] [CASE...]
# Needs the parity venv (tools/setup --parity) and a build (bench_segment_step; EOSIN_BUILD names
# the build folder).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bench=${EOSIN_BUILD:-$root/build/release}/bin/bench_segment_step
python=$root/.venv-parity/bin/python
rounds=${1:-9} threads=${2:-2}
[ $# -gt 2 ] && { shift 2; cases=$*; } || cases="os8 os16"
for file in "$bench" "$python"; do
  [ -x "$file" ] || { echo "error: $file is missing
hint: run tools/setup --parity and build the target bench_segment_step" >&2; exit 3; }
done
precisions=fp32
grep -Eqm1 'avx512_bf16|amx_bf16' /proc/cpuinfo && precisions="fp32 bf16"
for case in $cases; do
  for precision in $precisions; do
    ratios=
    i=0
    while [ $i -lt "$rounds" ]; do
      ours() { "$bench" step "$case" "$precision" "$threads" 3; }
      theirs() { "$python" "$root/tools/bench/segment_step.py" --case "$case" \
        --precision "$precision" --threads "$threads" --repeats 3; }
      # Who goes first alternates.
      if [ $((i % 2)) -eq 0 ]; then a=$(ours); b=$(theirs); else b=$(theirs); a=$(ours); fi
      echo "  $case $precision round $((i + 1)): eosin $a s, Python $b s" >&2
      ratios="$ratios $(awk "BEGIN { print $a / $b }")"
      i=$((i + 1))
    done
    # For nine rounds the second and the eighth enclose the median with 96 %.
    echo "$ratios" | tr ' ' '\n' | grep . | sort -g | awk -v name="$case $precision" '
      { r[NR] = $1 }
      END { m = NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2
            k = NR >= 9 ? 2 : 1
            printf "%-12s step time eosin / Python: median %.3f (%.3f to %.3f, %d rounds)\n",
                   name, m, r[k], r[NR + 1 - k], NR }'
    "$bench" freeze "$case" "$precision" "$threads" "$rounds"
  done
done
