#!/usr/bin/env bash
# From nothing to a verdict and exported networks, on procedural steel whose surfaces give the
# classes away: train, evaluate, generate, classify, export. About 19 minutes on two CPU cores.
#   launch/pipeline.sh [OUT]       default runs/pipeline; the same command again goes on
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/pipeline}
run() { echo "== python -m dtgan.$*" >&2; launch/run.sh python -m "dtgan.$1" "${@:2}"; }

run main --config=configs/quickstart.py --config.data.shortcut=0.9 --workdir="$out/gan"
run evaluate --workdir="$out/gan" --num_fake=1000
run generate --workdir="$out/gan" --out="$out/synthetic" --num_per_class=100
run classify --config=configs/classifier.py:quick --config.data.shortcut=0.9 \
  --synthetic="$out/synthetic" --arms=real+classic,real+paste,real+synthetic+classic \
  --out="$out/verdict"
run export --workdir="$out/gan" --what=generator,encoder --format=stablehlo,safetensors,onnx \
  --out="$out/exported"
run export --workdir="$out/verdict" --what=classifier --arm=real+synthetic+classic \
  --format=stablehlo,safetensors,onnx --out="$out/exported"
