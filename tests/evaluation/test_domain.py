"""Pins the domain classifier: reproducible, kept with its hash, retrained when damaged or other."""

import jax
import numpy as np
import pytest

from dtgan import sharding
from dtgan.config import ConfigError
from dtgan.data.procedural import CLASSES
from dtgan.evaluation import domain
from dtgan.metrics import features, lpips
from tests.evaluation.conftest import QUICK


def open_(workdir, records, **options):
    return domain.open_extractors(
        *(workdir, records["image"], records["label"], CLASSES), recipe=QUICK, **options
    )


def files(workdir):
    return sorted(workdir.glob("domain-*.safetensors"))


def test_same_images_same_weights_kept_once(records, tmp_path, domain_weights):
    first = open_(tmp_path, records)
    (file,) = files(tmp_path)
    written = file.stat().st_mtime_ns
    assert open_(tmp_path, records).features.sha256 == first.features.sha256
    assert file.stat().st_mtime_ns == written
    assert first.features.sha256 == domain_weights[1]  # trained a second time, elsewhere
    assert first.features.name == "domain-resnet18" and first.lpips.name == "lpips-domain-resnet18"


def test_damaged_file_is_trained_again_and_other_images_are_another_file(records, tmp_path, caplog):
    digest = open_(tmp_path, records).features.sha256
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    with caplog.at_level("WARNING", logger="dtgan"):
        assert open_(tmp_path, records).features.sha256 == digest
    assert "damaged" in caplog.text
    changed = records | {"image": records["image"] ^ 1}
    assert open_(tmp_path, changed).features.sha256 != digest
    assert len(files(tmp_path)) == 2


def test_given_weights_must_be_of_this_network_and_data(records, tmp_path, domain_weights):
    path, digest = domain_weights
    assert open_(tmp_path, records, path=path, sha256=digest).features.sha256 == digest
    assert not files(tmp_path)
    with pytest.raises(ConfigError, match="asked for was"):
        open_(tmp_path, records, path=path, sha256="0" * 64)
    others = (*CLASSES[:-1], "rust")
    with pytest.raises(ConfigError, match=r"32 px 1 ch normal.*notching', needed is .*rust'"):
        domain.open_extractors(tmp_path, records["image"], records["label"], others, path=path)


def test_weights_may_know_more_classes_than_a_run(records, tmp_path, domain_weights):
    """A run of few classes is judged in the same space as those of all; other answers are wrong."""
    few, image = (CLASSES[0], CLASSES[3], CLASSES[1]), records["image"][:5]
    path, mesh = domain_weights[0], sharding.make_mesh()
    every = features.extract(open_(tmp_path, records, path=path).features, image, mesh)
    one = domain.open_extractors(tmp_path, image, np.array([0, 1, 2, 0, 1]), few, path=path)
    found = features.extract(one.features, image, mesh)
    np.testing.assert_array_equal(found["logits"], every["logits"][:, [0, 3, 1, 2, 4, 5, 6]])
    np.testing.assert_array_equal(found["pool"], every["pool"])


def test_features_are_scaled_and_lpips_is_that_of_the_stages(records, tmp_path, domain_weights):
    extractors = open_(tmp_path, records, path=domain_weights[0])
    mesh, image = sharding.make_mesh(), records["image"]
    found = features.extract(extractors.features, image, mesh)
    assert found["pool"].shape == (len(image), 512) and found["tap64"].shape == (len(image), 64)
    assert np.mean(found["pool"] ** 2) == pytest.approx(1.0, rel=1e-3)
    embedded = features.extract(extractors.lpips, image[:3], mesh)["lpips"]
    assert np.all(lpips.distance(embedded, embedded) == 0)
    assert np.all(lpips.distance(embedded[:1], embedded[1:2]) > 0)
    both = features.extract(extractors.both, image[:3], mesh)
    np.testing.assert_allclose(both.pop("lpips"), embedded, rtol=1e-5, atol=1e-6)
    alone = features.extract(extractors.features, image[:3], mesh)
    assert set(both) == set(alone)
    np.testing.assert_allclose(both["pool"], alone["pool"], rtol=1e-5, atol=1e-6)


def test_augmentation_keeps_type_and_size_and_is_seeded(records):
    a, b = (domain.augment(records["image"], np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(a, b) and a.dtype == np.uint8 and a.shape == records["image"].shape
    assert not np.array_equal(a, records["image"])


def test_large_images_are_reduced():
    image = jax.ShapeDtypeStruct((2, 256, 256, 1), np.uint8)
    assert jax.eval_shape(lambda x: domain.prepare(x, 128), image).shape == (2, 128, 128, 1)
