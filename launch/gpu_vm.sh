#!/usr/bin/env bash
# One GPU machine on Google Cloud: create, sync, run, logs, stop, fetch, delete. Without a verb it
# prints its use; --dry_run prints the commands instead of running them.
#   launch/gpu_vm.sh create && launch/gpu_vm.sh sync
#   launch/gpu_vm.sh run python -m dtgan.main --config=configs/layered.py:res=128 --workdir=runs/a
set -euo pipefail
PLATFORM=gpu_vm
EXTRAS=test,cuda
ZONE=${ZONE:-us-central1-a}
MACHINE=${MACHINE:-a2-highgpu-1g} # one A100; a3-highgpu-8g has eight H100
IMAGE=${IMAGE:-common-cu128-ubuntu-2204-nvidia-570}
DISK=${DISK:-200GB}
VARIABLES="NAME (dtgan), ZONE ($ZONE), MACHINE ($MACHINE), IMAGE ($IMAGE), DISK ($DISK)"
# shellcheck source=launch/vm.sh
source "$(dirname "${BASH_SOURCE[0]}")/vm.sh"

vm_create() {
  call gcloud compute instances create "$NAME" --zone="$ZONE" --machine-type="$MACHINE" \
    --image-family="$IMAGE" --image-project=deeplearning-platform-release \
    --boot-disk-size="$DISK" --maintenance-policy=TERMINATE --metadata=install-nvidia-driver=True
}
vm_delete() { call gcloud compute instances delete "$NAME" --zone="$ZONE"; }
vm_ssh() { call gcloud compute ssh "$NAME" --zone="$ZONE" --command="$2"; }
vm_copy() { call gcloud compute scp "$1" "$NAME:$(basename "$1")" --zone="$ZONE"; }
vm_fetch() { call gcloud compute scp --recurse "$NAME:dtgan/$1" "$1" --zone="$ZONE"; }

vm_main "$@"
