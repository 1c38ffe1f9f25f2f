# shellcheck shell=bash
# What gpu_vm.sh and tpu_vm.sh share; sourced by them, not run.
#
# They define: PLATFORM (their name), EXTRAS (of setup.py) and the functions
#   vm_create, vm_delete          the machine itself
#   vm_ssh WORKER COMMAND         run a command line there; WORKER is 0 or all
#   vm_copy FILE                  put a file into the home folder of every worker
# and then call: vm_main "$@"

NAME=${NAME:-dtgan}
DRY_RUN=false

# Run a command, or print it so that it can be pasted.
call() {
  if $DRY_RUN; then printf '%q ' "$@"; echo; else "$@"; fi
}

vm_usage() {
  cat >&2 <<EOF
usage: launch/$PLATFORM.sh [--dry_run] VERB
  create          make the machine
  sync            copy this checkout to ~/dtgan there and install it (again after every change)
  run COMMAND...  start a command there, such as: run python -m dtgan.main --config=...
  logs            follow what it prints
  stop            SIGTERM: training saves a checkpoint and ends; run again resumes
  fetch PATH      copy ~/dtgan/PATH of the machine to PATH here
  delete          delete the machine, and all that is on its disk
variables: $VARIABLES
EOF
  exit 2
}

vm_sync() {
  local archive
  archive=$(mktemp -d)/dtgan.tar.gz
  if $DRY_RUN; then
    echo "git ls-files -z --cached --others --exclude-standard | tar --null -T - -czf $archive"
  else
    git ls-files -z --cached --others --exclude-standard | tar --null -T - -czf "$archive"
  fi
  vm_copy "$archive"
  vm_ssh all "mkdir -p dtgan && tar -xzf dtgan.tar.gz -C dtgan && cd dtgan && DTGAN_EXTRAS=$EXTRAS launch/run.sh true"
}

vm_run() {
  [ $# -gt 0 ] || vm_usage
  # setsid: it goes on when the connection ends; exec: the number kept is that of the program.
  local program
  program="setsid bash -c 'echo \$\$ >../dtgan.pid; exec launch/run.sh \"\$@\"' dtgan$(printf ' %q' "$@")"
  vm_ssh all "cd dtgan && (DTGAN_EXTRAS=$EXTRAS $program >../dtgan.log 2>&1 </dev/null &)"
}

vm_main() {
  cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
  if [ "${1:-}" = --dry_run ]; then DRY_RUN=true; shift; fi
  local verb=${1:-}
  shift || true
  if ! $DRY_RUN && [ -n "$verb" ] && ! command -v gcloud >/dev/null; then
    echo "launch/$PLATFORM.sh: gcloud is not installed; --dry_run prints the commands" >&2
    exit 1
  fi
  case $verb in
    create) vm_create ;;
    sync) vm_sync ;;
    run) vm_run "$@" ;;
    logs) vm_ssh 0 "tail -n 40 -F dtgan.log" ;;
    stop) vm_ssh all "kill -TERM \$(cat dtgan.pid)" ;;
    fetch) [ $# -eq 1 ] || vm_usage; vm_fetch "$1" ;;
    delete) vm_delete ;;
    *) vm_usage ;;
  esac
}
