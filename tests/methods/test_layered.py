"""Pins what the layered DT-GAN promises: the anchor, the controls, the use of masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import sampling
from dtgan.config import ConfigError, base_config
from dtgan.data.procedural import ProceduralSteel
from dtgan.images import to_float
from dtgan.methods import layered
from dtgan.methods.layered import place


def tiny():
    config = base_config("layered")
    config.data.res, config.data.batch_size, config.model.ch = 32, 8, 2
    return config


@pytest.fixture(scope="module")
def sampler():
    """An untrained model whose mattes are far from empty."""
    config = tiny()
    method = layered.make(config, 7)
    spec = {"image": np.zeros((8, 32, 32, 1), np.uint8)}
    state = jax.jit(lambda key: method.init(key, spec))(jax.random.key(1))
    bias = state.ema["G"]["params"]["layer"]["bias"]
    state.ema["G"]["params"]["layer"]["bias"] = bias.at[-1].set(2.0)
    return sampling.Sampler(config, ProceduralSteel.classes, 0, state.ema)


@pytest.fixture(scope="module")
def source():
    return ProceduralSteel("test", 32, scale_counts=0.05)


def ask(source, num=8, **controls):
    return sampling.control_request(tiny(), source, num, **controls)


def change(drawn, request):
    return np.abs(drawn["image"] - to_float(request["normal"]))


def test_anchor_is_x2_bit_for_bit(sampler, source):
    request = ask(source, strength=0.0)
    drawn = sampler(request)
    assert_array_equal(drawn["clean"], to_float(request["normal"]))
    assert_array_equal(drawn["image"], to_float(request["normal"]))
    assert_array_equal(drawn["mask"], 0.0)
    assert change(sampler(ask(source)), request).max() > 0.1


def test_strength_is_monotone_in_the_mean_change(sampler, source):
    means = []
    for strength in (0.0, 0.3, 0.6, 1.0, 2.0):
        request = ask(source, strength=strength)
        means.append(change(sampler(request), request).mean((1, 2, 3)))
    assert np.all(np.diff(means, axis=0) > 0)


def test_matte_stays_inside_the_users_mask(sampler, source):
    limit = np.zeros((32, 32), np.uint8)
    limit[4:12, 4:12] = 255
    request = ask(source, limit=limit)
    drawn, free = sampler(request), sampler(ask(source))
    outside = limit == 0
    assert_array_equal(change(drawn, request)[:, outside], 0.0)
    assert_array_equal(drawn["mask"][:, outside], 0.0)
    assert_allclose(drawn["image"][:, ~outside], free["image"][:, ~outside], atol=1e-6)


def test_several_defects_are_laid_over_each_other(sampler, source):
    request = ask(source, defects=2)
    both = sampler(request)
    one, other = (sampler({**request, "image": request["image"][:, k]}) for k in (0, 1))
    clear = (1 - one["mask"]) * (1 - other["mask"])
    assert_allclose(both["mask"], 1 - clear, atol=1e-5)
    # Where the second is absent, the first shows.
    weak = sampler({**request, "strength": np.array([[1.0, 0.0]] * 8, np.float32)})
    assert_allclose(weak["image"], one["image"], atol=1e-6)


def test_one_defect_in_a_list_is_the_plain_request(sampler, source):
    request = ask(source)
    plain = {**request, "image": request["image"][:, 0]}
    for name, array in sampler(request).items():
        assert_array_equal(array, sampler(plain)[name])


def test_flip_twice_and_zero_shift_change_nothing(sampler, source):
    request, plain = ask(source), sampler(ask(source))
    same = sampler(ask(source, shift=(0.0, 0.0), scale=1.0, flip=(False, False)))
    assert_allclose(same["image"], plain["image"], atol=1e-5)
    flipped = {**request, "image": request["image"][:, :, ::-1]}
    back = sampler({**flipped, "flip": np.array([[[True, False]]] * 8)})
    assert_allclose(back["image"], plain["image"], atol=1e-6)


def test_place_shifts_and_scales_the_code():
    z_s = jnp.zeros((2, 16, 16, 4)).at[:, 4:6, 7:9].set(1.0)
    shifted = place(z_s, {"shift": jnp.array([[0.25, 0.0], [0.0, -0.125]])})
    assert_allclose(shifted[0], jnp.roll(z_s[0], 4, axis=0), atol=1e-6)
    assert_allclose(shifted[1], jnp.roll(z_s[1], -2, axis=1), atol=1e-6)
    gone = place(z_s, {"shift": jnp.array([[0.9, 0.0], [0.0, 0.9]])})
    assert_array_equal(gone, 0.0)
    large = place(z_s, {"scale": jnp.array([2.0, 0.5])})
    assert_allclose(large[0].sum() / z_s[0].sum(), 4, atol=0.2)
    assert_allclose(large[1].sum() / z_s[1].sum(), 0.25, atol=0.02)


def test_class_reference_and_background_of_a_request(source):
    request = ask(source, 5, classes=("tear",), backgrounds=[0, 1, 2, 3, 0], seed=3)
    tears = np.stack([source[i]["image"] for i in np.flatnonzero(source.labels == 5)])
    for image in request["image"][:, 0]:
        assert (tears == image).all((1, 2, 3)).any()
    assert_array_equal(request["normal"][1], source[1]["image"])
    again = ask(source, 5, classes=("tear",), backgrounds=[0, 1, 2, 3, 0], seed=3)
    assert_array_equal(again["image"], request["image"])
    index = len(source) - 1
    assert_array_equal(ask(source, 2, references=index)["image"][0, 0], source[index]["image"])


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"classes": ("taer",)}, "did you mean 'tear'"),
        ({"classes": ("normal",)}, "no defect"),
        ({"strength": -1.0}, "strength=-1.0 is not 0 or more"),
        ({"scale": 0.0}, "scale=0"),
        ({"shift": (np.nan, 0.0)}, "shift"),
        ({"limit": np.zeros((8, 8))}, "32 x 32"),
    ],
)
def test_impossible_requests_are_refused(source, controls, message):
    with pytest.raises(ConfigError, match=message):
        ask(source, 2, **controls)


def test_unknown_controls_are_refused(sampler, source):
    with pytest.raises(ConfigError, match="did you mean 'strength'"):
        sampler({**ask(source), "strenght": np.ones(8, np.float32)})


def test_mask_term_sees_only_images_that_have_a_mask():
    config = tiny()
    model = layered.LayeredDTGAN(config, 7)
    batch = {
        "image": np.zeros((8, 32, 32, 1), np.uint8) + 90,
        "normal": np.zeros((8, 32, 32, 1), np.uint8) + 120,
        "label": np.ones(8, np.int32),
        "mask": np.zeros((8, 32, 32, 1), np.uint8),
        "has_mask": np.ones(8, bool),
    }
    batch["mask"][:, 8:16, 8:16] = 255
    state = jax.jit(lambda key: model.init(key, batch))(jax.random.key(0))
    step = jax.jit(model.step)

    def term(has_mask, mask):
        values = {**batch, "has_mask": np.full(8, has_mask), "mask": mask}
        return float(step(state, values)[1]["loss/mask"])

    assert term(True, batch["mask"]) > 0.5
    assert term(False, batch["mask"]) == term(False, np.zeros_like(batch["mask"])) < 0.01
