"""Pins extraction (batches, devices, padding) and the cache (hit, damage, other description)."""

import jax
import numpy as np
import pytest

from dtgan import sharding
from dtgan.metrics.features import Cache, Extractor, extract
from tests import goldens


def apply(images):
    x = images.astype(np.float32)
    return {"mean": x.mean(axis=(1, 2)), "map": x[:, ::4, ::4] ** 2}


TOY = Extractor("toy", "0" * 64, "none", apply)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
@pytest.mark.parametrize("devices", [1, 8])
def test_batch_size_and_device_count_do_not_matter(batch_size, devices):
    images = goldens.images(1, 11, 16)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    got = extract(TOY, images, mesh, batch_size)
    assert got["mean"].shape == (11, 3) and got["map"].shape == (11, 4, 4, 3)
    for name, value in apply(images).items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6)


def test_no_images_have_features_of_known_shape():
    got = extract(TOY, np.zeros((0, 16, 16, 3), np.uint8), sharding.make_mesh())
    assert got["mean"].shape == (0, 3)


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"x": np.arange(1000.0), "y": np.array(self.calls)}


def test_cache_returns_what_was_stored(tmp_path):
    cache, compute = Cache(tmp_path / "new"), Counter()
    first = cache.get({"extractor": "a", "split": "test"}, compute)
    again = cache.get({"split": "test", "extractor": "a"}, compute)
    assert compute.calls == 1 and again["y"] == 1 and np.array_equal(first["x"], again["x"])
    cache.get({"extractor": "a", "split": "val"}, compute)
    assert compute.calls == 2


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "text"])
def test_damaged_entry_is_computed_again(tmp_path, harm, caplog):
    cache, compute = Cache(tmp_path), Counter()
    cache.get("what", compute)
    path = cache.path("what")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    harmed = {"flip": bytes(data), "cut": bytes(data[:-50]), "empty": b"", "text": b"no zip"}
    path.write_bytes(harmed[harm])
    with caplog.at_level("WARNING", logger="dtgan"):
        assert cache.get("what", compute)["y"] == 2
    assert "damaged" in caplog.text
    assert cache.get("what", compute)["y"] == 2  # mended
