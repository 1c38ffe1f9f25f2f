"""Pins LPIPS to the numbers of the lpips package 0.1.4, and its embedding to closed forms.

The golden distances were made with linear weights drawn by the rule of tests/goldens.py, which are
negative for half of the channels. LPIPS is linear in them: the golden distance is that under the
positive part minus that under the negative part.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.metrics import lpips
from dtgan.weights import published
from tests import goldens

WIDTHS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}
X, Y = goldens.images(1, 3, 64), goldens.images(2, 3, 64)


def golden_linear(net):
    stored = goldens.values("lpips")
    return [stored[f"{net}.lin{k}.model.1.weight"].ravel() for k in range(len(WIDTHS[net]))]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Backbones under torchvision's names: files(net) -> (path, digest)."""
    folder, digests = tmp_path_factory.mktemp("lpips"), {}

    def get(net):
        path = folder / f"{net}.safetensors"
        if net not in digests:
            state = {
                re.sub(r"^net\.slice\d+\.", "features.", key): value
                for key, value in goldens.state(f"lpips_{net}").items()
                if key.startswith("net.")
            }
            digests[net] = published.write(path, state, net)
        return path, digests[net]

    return get


@pytest.fixture
def build(files, tmp_path, monkeypatch):
    """build(net, linear, **options) -> Extractor; linear is one sign of the golden weights."""

    def make(net="alex", linear=None, **options):
        linear = [np.maximum(w, 0) for w in golden_linear(net)] if linear is None else linear
        monkeypatch.setattr(lpips, "LINEAR", tmp_path / "linear.npz")
        np.savez(lpips.LINEAR, **{f"{net}.lin{k}": w for k, w in enumerate(linear)})
        path, digest = files(net)
        return lpips.extractor(net, path, sha256=digest, **options)

    return make


def embed(extractor, image):
    return np.asarray(jax.jit(extractor.apply)(image)["lpips"])


@pytest.mark.parametrize("net", WIDTHS)
def test_golden_distances(build, net):
    both = []
    for sign in (1, -1):
        extractor = build(net, [np.maximum(sign * w, 0) for w in golden_linear(net)])
        a, b = np.split(embed(extractor, np.concatenate([X, Y])), 2)
        both.append(lpips.distance(a, b))
    np.testing.assert_allclose(
        both[0] - both[1], goldens.values("lpips")[f"{net}_distance_64"], rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("net", WIDTHS)
def test_shipped_linear_weights(net):
    linear = lpips.linear_weights(net)
    assert [w.shape for w in linear] == [(c,) for c in WIDTHS[net]]
    assert all(w.dtype == np.float32 and w.min() >= 0 and w.any() for w in linear)
    assert net != "alex" or sum(w.size for w in linear) == 1152


def test_negative_linear_weights_are_refused(build):
    with pytest.raises(
        ConfigError, match=r"of 'alex' .* reach -0\.297, below 0; use the published"
    ):
        build(linear=golden_linear("alex"))


@pytest.mark.parametrize(
    "net, sides",
    [("alex", (15, 7, 3, 3, 3)), ("vgg", (66, 33, 16, 8, 4)), ("squeeze", (32, 16, 8, 4, 4, 4, 4))],
)
def test_taps(net, sides):
    image = jnp.zeros((1, 66, 66, 3))
    taps, _ = jax.eval_shape(lpips.BACKBONES[net]().init_with_output, jax.random.key(0), image)
    expected = [(1, side, side, c) for side, c in zip(sides, WIDTHS[net], strict=True)]
    assert [tap.shape for tap in taps] == expected


def test_distance_is_zero_for_equal_images_and_symmetric(build):
    both = embed(build(), np.concatenate([X, Y]))
    a, b = np.split(both, 2)
    assert both.shape == (6, 15 * 15 * 64 + 7 * 7 * 192 + 3 * 3 * (384 + 256 + 256))
    assert (lpips.distance(a, a) == 0).all() and (lpips.distance(a, b) > 1e-3).all()
    np.testing.assert_array_equal(lpips.distance(a, b), lpips.distance(b, a))


def test_embedding_by_hand():
    tap1 = jnp.asarray([[[[3.0, 4.0]], [[0.0, 0.0]]]])  # [1, 2, 1, 2], one pixel without features
    tap2 = jnp.asarray([[[[5.0]]]])
    np.testing.assert_allclose(
        lpips.embedding((tap1, tap2)), [[0.6 / 2**0.5, 0.8 / 2**0.5, 0, 0, 1]], rtol=1e-6
    )
    np.testing.assert_allclose(
        lpips.embedding((tap1, tap2), [np.array([2.0, 8.0]), np.array([9.0])]),
        [[0.6, 1.6, 0, 0, 3]],
        rtol=1e-6,
    )


def test_unweighted_embeddings_give_the_mean_squared_difference_of_unit_features():
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, 5, 4)).astype(np.float32)
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    np.testing.assert_allclose(
        lpips.distance(lpips.embedding([a]), lpips.embedding([b])),
        np.square(unit[0] - unit[1]).sum(-1).mean((1, 2)),
        rtol=1e-5,
    )


def test_pooling_of_an_even_side_has_a_hanging_window():
    x = jnp.arange(20.0).reshape(1, 4, 5, 1) - 100  # negative: a window padded by 0 would show
    np.testing.assert_array_equal(
        lpips.ceil_pool(x)[0, ..., 0], np.array([[12, 14], [17, 19]]) - 100
    )


def test_grey_is_repeated_to_three_channels(build):
    extractor, grey = build(), X[..., :1]
    np.testing.assert_array_equal(
        embed(extractor, grey), embed(extractor, np.repeat(grey, 3, axis=-1))
    )


def test_raw_values_are_another_extractor(build):
    scaled, raw = build(), build(scaled=False)
    assert (scaled.name, raw.name) == ("lpips-alex", "lpips-alex-raw")
    assert scaled.resize == "none" and scaled.sha256 == raw.sha256
    assert np.abs(embed(scaled, X) - embed(raw, X)).max() > 0.01


def test_digest_depends_on_the_linear_weights(build):
    assert build().sha256 != build(linear=[np.ones(c, np.float32) for c in WIDTHS["alex"]]).sha256


@pytest.mark.parametrize("net", WIDTHS)
def test_smallest_image(build, net):
    extractor, smallest = build(net), lpips.BACKBONES[net].smallest
    image = jax.ShapeDtypeStruct((1, smallest, smallest + 9, 1), jnp.uint8)
    assert jax.eval_shape(extractor.apply, image)["lpips"].shape[1] > 0
    small = jax.ShapeDtypeStruct((1, 99, smallest - 1, 3), jnp.uint8)
    with pytest.raises(ConfigError, match=f"{smallest - 1} pixels .* lpips-{net}; use {smallest}"):
        jax.eval_shape(extractor.apply, small)


def test_wrong_weights_are_refused(build, files):
    path, _ = files("alex")
    with pytest.raises(ConfigError, match="asked for was 00"):
        lpips.extractor("alex", path, sha256="00")
    with pytest.raises(ConfigError, match="published one begins with 7be5be79"):
        lpips.extractor("alex", path)
    with pytest.raises(ConfigError, match=r"'alexnet' is not one of .* \(did you mean 'alex'\?\)"):
        lpips.extractor("alexnet", path)
