#!/usr/bin/env bash
# From a folder of slides and a folder of annotated regions to a study. Adapt the first three lines.
#   SLIDES   any slides OpenSlide reads       REGIONS  images/, masks/ and a CSV with name,patient_id
#   PATIENTS CSV with slide,patient_id: keeps validation and test patients out of pretraining
set -euo pipefail
SLIDES=${1:?folder of slides} REGIONS=${2:?folder of regions} PATIENTS=${3:?CSV slide,patient_id} OUT=${4:-work}
eosin=${EOSIN:-build/release/bin/eosin}

$eosin tile "$SLIDES" --out "$OUT/tiles" --mpp 1 --size 256
$eosin study --out "$OUT/study" --set "data=$REGIONS" --set "ssl.data=$OUT/tiles" --set "ssl.patients=$PATIENTS" \
  --set model.arch=resnet18 --set ssl.model.arch=resnet18 --set ssl.train.epochs=50
