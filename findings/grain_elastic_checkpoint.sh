#!/usr/bin/env bash
# Package: grain 0.2.18 with orbax-checkpoint 0.12.8 (and jax 0.10.2), seen 2026-11-29.
# Expected: the ElasticIterator, whose state outlives a change of the number of hosts, is saved by
#   grain's own CheckpointSave, as the iterators of its datasets are.
# Happens: CheckpointSave takes what is no DatasetIterator for a DataLoader's iterator, whose state
#   is bytes; the ElasticIterator's is a dict, and saving raises AttributeError. Where the state goes
#   through orbax's JsonSave, half of a pair of hosts is resumed by one host that goes on exactly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  grain==0.2.18 orbax-checkpoint==0.12.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PYTHON' || {
import importlib.metadata
import sys

import grain
import orbax.checkpoint as ocp

records = grain.MapDataset.source(grain.sources.RangeDataSource(0, 12, 1)).seed(3).shuffle()


def elastic(host, hosts):
    """Batches of 4 over all hosts, of which this one gets its part."""
    return grain.experimental.ElasticIterator(records, 4, grain.sharding.ShardOptions(host, hosts))


def save(name, args):
    """Saves step 0 and answers how that went."""
    try:
        with ocp.CheckpointManager(f"{sys.argv[1]}/{name}") as manager:
            manager.save(0, args=ocp.args.Composite(data=args))
            manager.wait_until_finished()
    except AttributeError as error:
        return f"AttributeError: {error}"
    return "saved"


for package in ("grain", "orbax-checkpoint"):
    print(package, importlib.metadata.version(package))
plain = iter(records.batch(4).to_iter_dataset())
first = next(plain).tolist()
plain_saved = save("plain", grain.checkpoint.CheckpointSave(plain))
print("iterator of an IterDataset:", plain_saved)

half = elastic(0, 2)
next(half)
elastic_saved = save("elastic", grain.checkpoint.CheckpointSave(half))
print("ElasticIterator, state", half.get_state(), "-", elastic_saved)
json_saved = save("json", ocp.args.JsonSave(half.get_state()))
with ocp.CheckpointManager(f"{sys.argv[1]}/json") as manager:
    state = manager.restore(0, args=ocp.args.Composite(data=ocp.args.JsonRestore()))["data"]
whole, resumed = elastic(0, 1), elastic(0, 1)
resumed.set_state(state)
whole, resumed = ([batch.tolist() for batch in batches] for batches in (whole, resumed))
print("one host:", *whole)
print("one host after one batch of two hosts, state by JsonSave:", *resumed)
assert plain_saved == json_saved == "saved" and first == whole[0]
assert resumed == whole[1:] and len(resumed) == 2
assert elastic_saved.startswith("AttributeError"), "changed: CheckpointSave takes it"
PYTHON
  tail -n 5 "$folder/log" >&2
  exit 1
}
