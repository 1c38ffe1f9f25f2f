"""Pins the FID network against golden features in its three resizings, and the resizings."""

import jax
import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.metrics import inception
from dtgan.metrics.resize import MODES, resize
from dtgan.weights import published
from tests import goldens

GOLDEN = {"tf1": "tf1_bilinear", "torch": "torch_bilinear", "clean": "clean"}


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """(path, digest) of weights rebuilt by the golden rule: right in shape, wrong in source."""
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    return path, published.write(path, goldens.state("inception_fid"), "inception")


@pytest.fixture(scope="module")
def network(inception_file):
    """The network alone, compiled once, for 8 preprocessed images."""
    state, _ = published.read(inception_file[0], "inception", inception_file[1])
    variables = inception.variables_of(state)
    return jax.jit(lambda x: inception.Inception().apply(variables, x))


@pytest.mark.parametrize("mode", MODES)
def test_pool3_equals_golden(network, mode):
    sizes = (64, 256, 299, 320)
    x = [inception.preprocess(goldens.images(res, 2, res), mode) for res in sizes]
    got = np.asarray(network(np.concatenate(x))["pool"]).reshape(4, 2, 2048)
    for features, res in zip(got, sizes, strict=True):
        want = goldens.values("inception_fid")[f"{GOLDEN[mode]}_{res}"]
        assert np.max(np.abs(features - want)) < 1e-5 * np.max(np.abs(want)), res


@pytest.mark.parametrize("res", [64, 256, 299, 320])
@pytest.mark.parametrize("mode", ["tf1", "clean"])
def test_resized_image_equals_golden(mode, res):
    want = goldens.values("inception_fid")[f"{mode}_resized_{res}"]
    got = np.asarray(resize(goldens.images(res, 2, res).astype(np.float32), 299, mode))
    assert np.max(np.abs(got[:, ::37, ::37] - want)) < 1e-3


def test_unknown_resize_is_refused(inception_file):
    with pytest.raises(ConfigError, match="resize='tf2' is not tf1, torch, clean"):
        jax.eval_shape(lambda x: resize(x, 299, "tf2"), np.zeros((1, 64, 64, 3), np.float32))


def test_average_leaves_padding_out_and_maximum_pads():
    x = np.arange(1.0, 10.0, dtype=np.float32).reshape(1, 3, 3, 1)
    averaged = np.asarray(inception.average(x))[0, :, :, 0]
    assert averaged[0, 0] == np.mean([1, 2, 4, 5]) and averaged[1, 1] == 5
    assert np.asarray(inception.maximum(x, 1))[0, :, :, 0].tolist()[0] == [5, 6, 6]
    assert np.asarray(inception.maximum(x, 2)).reshape(-1).tolist() == [9]


def test_grey_is_three_equal_channels_and_tap64_has_64(network, inception_file):
    extractor = inception.extractor(inception_file[0], "torch", inception_file[1])
    grey = goldens.images(3, 8, 64, c=1)
    one = jax.jit(extractor.apply)(grey)
    three = network(inception.preprocess(np.repeat(grey, 3, axis=-1), "torch"))
    assert one["tap64"].shape == (8, 64) and one["pool"].shape == (8, 2048)
    # Relative to the largest feature, too: a mean near 0 is the rounding of much larger terms.
    scale = float(np.abs(three["pool"]).max())
    np.testing.assert_allclose(one["pool"], three["pool"], rtol=1e-4, atol=1e-7 * scale)


def test_only_the_published_weights_or_the_named_digest(inception_file):
    path, digest = inception_file
    with pytest.raises(ConfigError, match="nothing is downloaded: get pt_inception"):
        inception.extractor(path)
    with pytest.raises(ConfigError, match="asked for was"):
        inception.extractor(path, sha256="0" * 64)
    assert inception.extractor(path, sha256=digest).sha256 == digest
