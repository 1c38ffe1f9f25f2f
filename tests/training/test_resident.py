"""Pins that images in device memory give the batches that the host would have cut."""

import jax
import numpy as np
import pytest

from dtgan import sharding
from dtgan.config import ConfigError, base_config
from dtgan.data import pipeline
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.training.resident import Resident

SOURCE = ProceduralSteel("train", 64, counts=dict.fromkeys(CLASSES, 2))


def config_of(**data):
    config = base_config()
    config.data.update({"res": 32, "scale_to": -1, "batch_size": 16, **data})
    return config


def batches(source, n, put=lambda x: x, start=None, **data):
    stream = pipeline.train_iterator(config_of(**data), source, pipeline.READS)
    if start is not None:
        stream.set_state(start)
    found = [{k: np.asarray(v) for k, v in put(next(stream)).items()} for _ in range(n)]
    position = stream.get_state()
    stream.close()
    return found, position


@pytest.mark.parametrize("data", [{}, {"balance": "oversample", "flips": "along"}])
def test_the_same_batches_to_the_bit_also_resumed(data):
    want, position = batches(SOURCE, 3, **data)
    resident = Resident(config_of(**data), SOURCE, pipeline.READS, sharding.make_mesh())
    found, same = batches(SOURCE, 3, resident, resident=True, **data)
    assert position == same
    later, _ = batches(SOURCE, 1, **data, start=position)
    resumed, _ = batches(SOURCE, 1, resident, resident=True, start=position, **data)
    for a, b in zip([*want, *later], [*found, *resumed], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name])
    assert len({batch["image"].tobytes() for batch in found}) == 3


@pytest.mark.parametrize("reads", [("normal",), ("image", "label")])
def test_only_what_is_read_is_stored(reads):
    mesh = sharding.make_mesh()
    stream = pipeline.train_iterator(config_of(), SOURCE, reads)
    placed = pipeline.train_iterator(config_of(resident=True), SOURCE, reads)
    want, places = next(stream), next(placed)
    found = Resident(config_of(), SOURCE, reads, mesh)(places)
    stream.close()
    placed.close()
    assert found.keys() == want.keys() == set(reads)
    for name in reads:
        np.testing.assert_array_equal(found[name], want[name])


def test_batches_are_split_over_the_devices():
    mesh = sharding.make_mesh()
    batch = Resident(config_of(), SOURCE, pipeline.READS, mesh)(
        {name: np.zeros((16, 5), np.int32) for name in ("defect", "normal")}
    )
    for name, spec in pipeline.batch_spec(config_of(), pipeline.READS).items():
        assert batch[name].shape == spec.shape and batch[name].dtype == spec.dtype
        assert batch[name].sharding.is_equivalent_to(sharding.split(mesh), batch[name].ndim)


class Unread:
    """A source of which only the sizes may be asked."""

    def __init__(self, *sizes):
        self.labels, self.sizes = np.arange(len(sizes)), np.array(sizes, np.int32)


def test_images_of_several_sizes_are_refused_before_one_is_read():
    with pytest.raises(ConfigError, match="one size, after scaling there are 48x64 and 64x64 pix"):
        source = Unread((64, 64), (48, 64), (64, 64))
        Resident(config_of(), source, pipeline.READS, sharding.make_mesh())


def test_more_than_half_of_a_devices_memory_is_refused_before_one_is_read(monkeypatch):
    class Device:
        def memory_stats(self):
            return {"bytes_limit": 10**9}

    mesh = sharding.make_mesh()
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    # 20000^2 pixels: an image of the defect, one of the normal, one mask.
    with pytest.raises(ConfigError, match=r"take 1\.2 GB, more than half of a device's 1\.0 GB"):
        source = Unread((20000, 20000), (20000, 20000))
        Resident(config_of(), source, pipeline.READS, mesh)
