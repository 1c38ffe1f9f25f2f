#!/usr/bin/env bash
# Do synthetic images help on your images? K trainings, K sets, one pooled verdict on every image.
#   launch/verdict.sh [--dry_run] OUT K FLAGS-OF-MAIN... [-- FLAGS-OF-GENERATE... [-- FLAGS-OF-CLASSIFY...]]
#   launch/verdict.sh runs/mine 3 --config=configs/layered.py:res=64,ch=16 --config.data.source=folder \
#     --config.data.path=DIR --config.data.group='^(part[0-9]+)' -- --num_per_class=300 -- --seeds=5
# Fold k of K is OUT/gan_k and OUT/set_k, the verdict OUT/verdict. FLAGS-OF-MAIN that set config.data
# go to the classifiers, too. After a kill the same command goes on; --dry_run prints what is left.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dry=
if [ "${1:-}" = --dry_run ]; then dry=1 && shift; fi
if [ $# -lt 3 ] || ! [[ $2 =~ ^[0-9]+$ ]] || [ "$2" -lt 2 ]; then
  sed -n '2,7s/^# \{0,1\}//p' launch/verdict.sh >&2
  exit 2
fi
out=$1 folds=$2
shift 2

main=() generate=() classify=() data=() section=main
for flag in "$@"; do
  case $section:$flag in
    main:--) section=generate ;;
    generate:--) section=classify ;;
    main:--config.data.*) data+=("$flag") main+=("$flag") ;;
    main:*) main+=("$flag") ;;
    generate:*) generate+=("$flag") ;;
    classify:*) classify+=("$flag") ;;
  esac
done
[ ${#generate[@]} -gt 0 ] || generate=(--num_per_class=200)

run() {
  echo "== python -m dtgan.$*" >&2
  if [ -z "$dry" ]; then launch/run.sh python -m "dtgan.$1" "${@:2}"; fi
}

for ((k = 0; k < folds; k++)); do
  gan=$out/gan_$k set=$out/set_$k
  if [ ! -e "$gan/summary.json" ]; then
    run main "${main[@]}" --config.data.fold="$k/$folds" --workdir="$gan"
    # A training that is told to stop saves and ends without an error.
    if [ -z "$dry" ] && [ ! -e "$gan/summary.json" ]; then
      echo "launch/verdict.sh: $gan was stopped; the same command goes on" >&2
      exit 1
    fi
  fi
  if [ ! -e "$set/_SUCCESS" ]; then run generate --workdir="$gan" --out="$set" "${generate[@]}"; fi
done
run classify "${data[@]}" --folds="$folds" --synthetic="$out/set_{fold}" --out="$out/verdict" \
  --arms=real+classic,real+synthetic+classic --choose "${classify[@]}"
