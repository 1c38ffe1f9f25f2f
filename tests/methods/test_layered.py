"""Pins what the layered DT-GAN promises: the anchor, the controls, the use of masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.config import ConfigError, base_config
from dtgan.data import pipeline
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.images import to_float, to_uint8
from dtgan.methods import layered
from dtgan.methods.layered import place
from dtgan.models.layered import CODE_CHANNELS
from dtgan.sampling.requests import control_request
from dtgan.sampling.sampler import Sampler


def tiny():
    config = base_config("layered")
    config.data.res, config.data.batch_size, config.model.ch = 32, 8, 2
    return config


@pytest.fixture(scope="module")
def sampler():
    """An untrained model whose mattes are far from empty."""
    config = tiny()
    method = layered.make(config, CLASSES)
    spec = {"image": np.zeros((8, 32, 32, 1), np.uint8)}
    state = jax.jit(lambda key: method.init(key, spec))(jax.random.key(1))
    bias = state.ema["G"]["params"]["layer"]["bias"]
    state.ema["G"]["params"]["layer"]["bias"] = bias.at[-1].set(2.0)
    return Sampler(config, CLASSES, 0, state.ema, method)


@pytest.fixture(scope="module")
def source():
    return ProceduralSteel("test", 32, scale_counts=0.05)


@pytest.fixture(scope="module")
def ask(sampler, source):
    """ask(num=8, **controls) -> a request."""

    def make(num=8, **controls):
        return control_request(sampler, source, num, **controls)

    return make


def change(drawn):
    return np.abs(drawn["image"] - drawn["clean"])


def test_only_what_is_asked_for_is_computed(sampler, ask):
    """G and F of x1 alone, for rec and removed, are a quarter of the work of so small networks."""
    request, whole = ask(), sampler(ask())
    used = ("image", "mask", "clean")
    drawn = sampler(request, outputs=used)
    assert set(drawn) == set(used) < set(whole)
    for name in used:
        assert_allclose(drawn[name], whole[name], atol=1e-5)
    parts = sampler(request, outputs=("mask",), batch_size=8)
    assert_allclose(parts["mask"], whole["mask"], atol=1e-5)
    rows = {"number": np.arange(8, dtype=np.int32), **request}
    work = [
        sampler._program(names).lower(sampler.ema, rows, jax.random.key(0)).cost_analysis()["flops"]
        for names in (used, sampler.method.gives)
    ]
    assert work[0] < 0.8 * work[1]
    with pytest.raises(ConfigError, match=r"gives no 'removd' \(did you mean 'removed'"):
        sampler(request, outputs=("removd",))


def test_anchor_is_x2_bit_for_bit(sampler, ask):
    request = ask(strength=0.0)
    drawn = sampler(request)
    assert_array_equal(to_uint8(drawn["clean"]), request["surface"])
    assert_array_equal(drawn["image"], drawn["clean"])
    assert_array_equal(drawn["mask"], 0.0)
    drawn = sampler(ask())
    assert_array_equal(to_uint8(drawn["clean"]), request["surface"])
    assert change(drawn).max() > 0.1


def test_strength_is_monotone_in_every_pixel(sampler, ask):
    means, masks = [], []
    for strength in (0.0, 0.3, 0.6, 1.0, 2.0):
        request = ask(strength=strength, shift=(0.1, -0.2), scale=1.3)
        drawn = sampler(request)
        masks.append(drawn["mask"])
        means.append(change(drawn).mean((1, 2, 3)))
    assert np.all(np.diff(masks, axis=0) >= 0)
    assert np.all(np.diff(means, axis=0) > 0)


def test_matte_stays_inside_the_users_mask(sampler, ask):
    limit = np.zeros((32, 32), np.uint8)
    limit[4:12, 4:12] = 255
    request = ask(limit=limit)
    assert_array_equal(request["limit"], ask(limit=limit > 0)["limit"])
    drawn, free = sampler(request), sampler(ask())
    outside = limit == 0
    assert_array_equal(change(drawn)[:, outside], 0.0)
    assert_array_equal(drawn["mask"][:, outside], 0.0)
    assert_allclose(drawn["image"][:, ~outside], free["image"][:, ~outside], atol=1e-6)


def test_several_defects_are_laid_over_each_other(sampler, ask):
    request = ask(defects=2)
    both = sampler(request)
    one, other = (sampler({**request, "defect": request["defect"][:, k]}) for k in (0, 1))
    clear = (1 - one["mask"]) * (1 - other["mask"])
    assert_allclose(both["mask"], 1 - clear, atol=1e-5)
    # Where the second is absent, the first shows.
    weak = sampler({**request, "strength": np.array([[1.0, 0.0]] * 8, np.float32)})
    assert_allclose(weak["image"], one["image"], atol=1e-6)


def test_one_defect_in_a_list_is_the_plain_request(sampler, ask):
    request = ask()
    plain = {**request, "defect": request["defect"][:, 0]}
    for name, array in sampler(request).items():
        assert_array_equal(array, sampler(plain)[name])


def test_flip_twice_and_zero_shift_change_nothing(sampler, ask):
    request, plain = ask(), sampler(ask())
    same = sampler(ask(shift=(0.0, 0.0), scale=1.0, flip=(False, False)))
    assert_allclose(same["image"], plain["image"], atol=1e-5)
    flipped = {**request, "defect": request["defect"][:, :, ::-1]}
    back = sampler({**flipped, "flip": np.array([[[True, False]]] * 8)})
    assert_allclose(back["image"], plain["image"], atol=1e-6)
    assert_allclose(back["removed"], plain["removed"][:, ::-1], atol=1e-6)  # as x1 shows it


def test_place_shifts_and_scales_the_code():
    z_s = jnp.zeros((2, 16, 16, 4)).at[:, 4:6, 7:9].set(1.0)
    shifted = place(z_s, {"shift": jnp.array([[0.25, 0.0], [0.0, -0.125]])})
    assert_allclose(shifted[0], jnp.roll(z_s[0], 4, axis=0), atol=1e-6)
    assert_allclose(shifted[1], jnp.roll(z_s[1], -2, axis=1), atol=1e-6)
    gone = place(z_s, {"shift": jnp.array([[0.9, 0.0], [0.0, 0.9]])})
    assert_array_equal(gone, 0.0)
    large = place(z_s, {"scale": jnp.array([2.0, 0.5])})
    assert_allclose(large[0].sum() / z_s[0].sum(), 4, atol=0.3)
    assert_allclose(large[1].sum() / z_s[1].sum(), 0.25, atol=0.02)


def test_class_reference_and_background_of_a_request(source, ask):
    request = ask(5, classes=("tear",), backgrounds=[0, 1, 2, 3, 0], seed=3)
    tears = np.stack([source[i]["image"] for i in np.flatnonzero(source.labels == 5)])
    for image in request["defect"][:, 0]:
        assert (tears == image).all((1, 2, 3)).any()
    assert_array_equal(request["surface"][1], source[1]["image"])
    again = ask(5, classes=("tear",), backgrounds=[0, 1, 2, 3, 0], seed=3)
    assert_array_equal(again["defect"], request["defect"])
    index = len(source) - 1
    assert_array_equal(ask(2, references=index)["defect"][0, 0], source[index]["image"])


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"classes": ("taer",)}, "did you mean 'tear'"),
        ({"classes": ("normal",)}, "no defect"),
        ({"strength": -1.0}, "strength=-1.0 is below 0"),
        ({"strength": [1.0] * 5}, r"strength has the shape \(5, 1\), but 2 images"),
        ({"scale": 0.0}, "scale=0.0 is not above 0"),
        ({"shift": (np.nan, 0.0)}, "shift=.* is not finite"),
        ({"limit": np.zeros((8, 8), np.uint8)}, r"use \(32, 32\)"),
        ({"limit": np.full((32, 32), 0.9)}, "limit is float64"),
        ({"references": 10_000}, "10000 is not an index"),
        ({"backgrounds": [1, 2, 3]}, "backgrounds has the shape"),
    ],
)
def test_impossible_requests_are_refused(ask, controls, message):
    with pytest.raises(ConfigError, match=message):
        ask(2, **controls)


def test_unknown_controls_are_refused(sampler, ask):
    with pytest.raises(ConfigError, match="did you mean 'strength'"):
        sampler({**ask(), "strenght": np.ones(8, np.float32)})


@pytest.fixture(scope="module")
def pair():
    """A model, its state, and a batch of bright squares on even grey."""
    model = layered.Layered(tiny(), CLASSES)
    batch = {
        "image": np.full((8, 32, 32, 1), 90, np.uint8),
        "normal": np.full((8, 32, 32, 1), 120, np.uint8),
        "label": np.ones(8, np.int32),
        "mask": np.zeros((8, 32, 32, 1), np.uint8),
        "has_mask": np.arange(8) < 4,
    }
    batch["image"][:, 8:16, 8:16] = 200
    batch["mask"][:, 8:16, 8:16] = 255
    state = jax.jit(lambda key: model.init(key, batch))(jax.random.key(0))
    return model, state, batch


def scene_of(model, params, batch):
    x1, x2 = to_float(batch["image"]), to_float(batch["normal"])
    return x1, x2, model.scene(params, x1, x2, jax.random.key(5))


def test_mask_term_sees_only_images_that_have_a_mask_or_a_box(pair):
    model, state, batch = pair

    def terms(presence, has_mask):
        _, _, scene = scene_of(model, state.ema, batch)
        scene = scene._replace(z1=scene.z1._replace(presence=presence))
        mask = jnp.asarray(batch["mask"]).at[4:6].set(0) / 255.0
        return model.mask_loss(scene, mask, has_mask)

    presence = jnp.zeros((8, 32, 32, 1))
    gradient = jax.jit(jax.grad(terms))(presence, batch["has_mask"])
    assert np.all(np.asarray(gradient[:4, 8:16, 8:16]) < 0)  # towards the defect
    assert np.all(np.asarray(gradient[:4, 20:]) > 0)  # away from clean surface
    # Rows 4 and 5 have neither mask nor box; in the others the square is a box.
    assert_array_equal(gradient[4:6], 0.0)
    assert_array_equal(gradient[6:, 8:16, 8:16], 0.0)
    assert np.all(np.asarray(gradient[6:, 20:]) > 0)


def test_reconstruction_teaches_encoder_and_generator_but_not_the_fill(pair):
    model, state, batch = pair

    def rec(params):
        x1, _, s = scene_of(model, params, batch)
        return jnp.sum(s.hidden * jnp.abs(x1 - s.x1r))

    gradient = jax.jit(jax.grad(rec))(state.ema)
    size = {n: max(float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient[n])) for n in gradient}
    assert size["E"] > 1e-4 and size["G"] > 1e-4 and size["F"] == 0


def test_score_does_not_prefer_drawing_nothing(pair):
    """The best checkpoint is not the one with an empty matte."""
    model, state, batch = pair
    empty = jax.tree.map(jnp.copy, state.ema)
    bias = empty["E"]["params"]["structure"]["bias"]
    empty["E"]["params"]["structure"]["bias"] = bias.at[-1].set(-20.0)
    score = jax.jit(model.score)
    nothing = float(score(empty, batch, jax.random.key(0)))
    assert nothing > 2.0  # Dice and cross-entropy of an empty matte alone are above that


@pytest.mark.parametrize("fields", [{"code_stride": 2}, {"removal": False}])
def test_variants_step(fields):
    config = tiny()
    config.data.channels, config.data.batch_size = 3, 2
    config.model.update(fields)
    method = layered.make(config, CLASSES[:4])
    spec = pipeline.batch_spec(config, method.reads)
    state = jax.eval_shape(lambda key: method.init(key, spec), jax.random.key(0))
    new, metrics = jax.eval_shape(method.phases[-1].run, state, spec)
    assert jax.tree.structure(new) == jax.tree.structure(state) and "loss/rec" in metrics
    codes = jax.eval_shape(method.codes, state.ema, spec["image"])
    assert codes["structure"].shape == (2, 16 * 16 * CODE_CHANNELS)
