#!/usr/bin/env bash
# Package: grain 0.2.18, seen 2026-11-29.
# Expected: the number of worker processes is a matter of speed: the batches of an epoch, given by
#   the seed, are the same with any number, and a full batch is not dropped as a remainder.
# Happens: in a DataLoader each worker makes batches of its own share of the records. With two of
#   them other records stand together in a batch; and with drop_remainder each drops a remainder: 18
#   records in batches of 6 are 3 batches with none or one, 2 with two. A MapDataset that is batched
#   before it becomes an IterDataset gives the same batches with any number of workers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check grain==0.2.18
# A file, not standard input: workers import it anew.
cat >"$folder/batches.py" <<'PYTHON'
import importlib.metadata

import grain
from absl import flags

SOURCE = grain.sources.RangeDataSource(0, 18, 1)


def loader(workers):
    sampler = grain.samplers.IndexSampler(
        num_records=len(SOURCE),
        num_epochs=1,
        shuffle=True,
        seed=3,
        shard_options=grain.sharding.NoSharding(),
    )
    batch = grain.transforms.Batch(6, drop_remainder=True)
    return grain.DataLoader(
        data_source=SOURCE, sampler=sampler, operations=[batch], worker_count=workers
    )


def dataset(workers):
    batched = grain.MapDataset.source(SOURCE).seed(3).shuffle().batch(6, drop_remainder=True)
    options = grain.MultiprocessingOptions(num_workers=workers)
    return batched.to_iter_dataset().mp_prefetch(options)


def main():
    flags.FLAGS.mark_as_parsed()  # mp_prefetch reads a flag
    print("grain", importlib.metadata.version("grain"))
    found = {}
    for make in (loader, dataset):
        for workers in (0, 1, 2):
            batches = [batch.tolist() for batch in make(workers)]
            found[make.__name__, workers] = batches
            print(f"{make.__name__}, {workers} workers:", *batches)
    assert found["loader", 0] == found["loader", 1]
    assert [len(found["loader", workers]) for workers in (0, 2)] == [3, 2], "changed"
    assert found["loader", 2][0] not in found["loader", 0], "changed: the same batches"
    assert found["dataset", 0] == found["dataset", 1] == found["dataset", 2]
    assert len(found["dataset", 0]) == 3


if __name__ == "__main__":
    main()
PYTHON
"$folder/venv/bin/python" "$folder/batches.py"
