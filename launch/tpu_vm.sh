#!/usr/bin/env bash
# A TPU machine or pod slice on Google Cloud: create, sync, run (on all workers), logs, stop, fetch,
# delete. Without a verb it prints its use; --dry_run prints the commands instead of running them.
#   TYPE=v5litepod-8 launch/tpu_vm.sh create && launch/tpu_vm.sh sync
#   launch/tpu_vm.sh run python -m dtgan.main --config=configs/layered.py:res=128 --workdir=runs/a
# A slice of several machines also needs --distributed, and a workdir on a file system that all of
# them share: NFS=10.0.0.2:/share mounts one at /mnt/dtgan when it syncs.
set -euo pipefail
PLATFORM=tpu_vm
EXTRAS=test,tpu
ZONE=${ZONE:-us-west4-a}
TYPE=${TYPE:-v5litepod-1}
VERSION=${VERSION:-v2-alpha-tpuv5-lite}
NFS=${NFS:-}
VARIABLES="NAME (dtgan), ZONE ($ZONE), TYPE ($TYPE), VERSION ($VERSION), NFS (none)"
# shellcheck source=launch/vm.sh
source "$(dirname "${BASH_SOURCE[0]}")/vm.sh"

TPU=(gcloud compute tpus tpu-vm)
vm_create() {
  call "${TPU[@]}" create "$NAME" --zone="$ZONE" --accelerator-type="$TYPE" --version="$VERSION"
}
vm_delete() { call "${TPU[@]}" delete "$NAME" --zone="$ZONE"; }
vm_ssh() { call "${TPU[@]}" ssh "$NAME" --zone="$ZONE" --worker="$1" --command="$2"; }
vm_copy() {
  call "${TPU[@]}" scp "$1" "$NAME:$(basename "$1")" --zone="$ZONE" --worker=all
  if [ -n "$NFS" ]; then
    vm_ssh all "sudo apt-get install -qy nfs-common && sudo mkdir -p /mnt/dtgan && (mountpoint -q /mnt/dtgan || sudo mount $NFS /mnt/dtgan)"
  fi
}
vm_fetch() { call "${TPU[@]}" scp --recurse "$NAME:dtgan/$1" "$1" --zone="$ZONE" --worker=0; }

vm_main "$@"
