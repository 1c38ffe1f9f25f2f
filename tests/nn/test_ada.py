"""Pins the transforms of adaptive augmentation against numbers of the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan import losses
from dtgan.models.stylegan2 import Discriminator
from dtgan.nn import ada
from tests import goldens, stylegan2

STORED = goldens.values("ada")
LABELS = STORED["labels"].tolist()
FIELDS = {
    "xflip": ["flip"],
    "rotate90": ["quarters"],
    "xint": ["whole"],
    "scale": ["scale"],
    "rotate": ["before"],
    "aniso": ["stretch"],
    "xfrac": ["part"],
    "brightness": ["brightness"],
    "contrast": ["contrast"],
    "lumaflip": ["negative"],
    "hue": ["hue"],
    "saturation": ["saturation"],
}


def parts(label):
    names = list(FIELDS)
    groups = {"blit": names[:3], "geom": names[3:7], "bg": names[:7], "color": names[7:]}
    return (groups | {"bgc": names}).get(label, [label])


def images(n, c, w, dtype):
    noise = np.float32(0.25) * goldens.drawn(f"ada/img{c}_32", (n, c, 32, w))
    low = np.float32(0.6) * goldens.drawn(f"ada/low{c}_32", (n, c, 4, 4))
    low = low.repeat(8, axis=2).repeat(w // 4, axis=3)
    return jnp.asarray(np.clip(noise + low, -1, 1).transpose(0, 2, 3, 1), dtype)


def changes(label, k, n, dtype):
    found = jax.tree.map(lambda x: x.astype(dtype), ada.unchanged(n))
    for name in parts(label):
        (field,) = FIELDS[name]
        same = getattr(found, field)
        found = found._replace(**{field: jnp.full_like(same, STORED[f"param.{name}"][k])})
    return found


@jax.jit
def pipe(x, changes):
    return ada.recolour(ada.warp(x, changes), changes)


@pytest.fixture(params=["float32", "float64"], name="dtype", scope="module")
def precision(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def check(y, name, dtype):
    y = jnp.asarray(y)
    y = y.transpose(0, 3, 1, 2) if y.ndim == 4 else y
    goldens.assert_golden(y, STORED, name, 1e-10 if dtype == "float64" else 2e-5)


@pytest.mark.parametrize(("c", "name"), [(3, "rgb"), (1, "grey")])
def test_every_transform(dtype, c, name):
    x = images(2, c, 32, dtype)
    check(x, f"{name}.input", dtype)
    for row, label in enumerate(LABELS):
        for k in range(3):
            y = np.asarray(pipe(x, changes(label, k, 2, dtype))).transpose(0, 3, 1, 2)
            rows = (np.arange(16) * 7919 + 13) % y.size
            summary = [y.mean(), y.std(), y.min(), y.max()]
            for ours, key, exact in ((y.reshape(-1)[rows], "samp", 1e-10), (summary, "stat", 1e-9)):
                # The authors' margin follows what is drawn, which shows at its edge: 5e-10.
                tolerance = (exact if dtype == "float64" else 2e-5) * np.abs(y).max()
                worst = np.abs(ours - STORED[f"{name}.{key}"][row, k]).max()
                assert worst <= tolerance, (label, k, key)
            p = STORED["percentiles"][k]
            if c == 3 and (full := f"full.{label}.{p}") in STORED:
                check(y[0, 0], full, dtype)


def test_images_that_are_no_squares(dtype):
    x = images(2, 3, 16, dtype)
    check(x, "wide.input", dtype)
    check(pipe(x, changes("bgc", 2, 2, dtype)), "wide.bgc", dtype)


def test_gradients(dtype):
    _, pullback = jax.vjp(lambda x: pipe(x, changes("bgc", 2, 2, dtype)), images(2, 3, 32, dtype))
    check(pullback(stylegan2.images("ada/r", (2, 3, 32, 32), 1, dtype))[0], "vjp.bgc", dtype)


def test_the_gradient_penalty_goes_through():
    with jax.enable_x64(True):
        critic, x = Discriminator(512, 32, dtype="float64"), images(8, 3, 32, "float64")
        shapes = jax.eval_shape(critic.init, jax.random.key(0), x)["params"]
        d, changed = (
            stylegan2.filled(shapes, "sg2.D", 32, "float64"),
            changes("bgc", 2, 8, "float64"),
        )

        def penalty(d):
            def score(x):
                return critic.apply({"params": d}, pipe(x, changed))

            return losses.r1(score, x), score(x)

        (total, logits), gradients = jax.jit(jax.value_and_grad(penalty, has_aux=True))(d)
        check(logits, "r1.logits", "float64")
        assert abs(total - STORED["r1.penalty"].mean() / 2) <= 1e-10 * total
        for name in ("b8.conv0.weight", "b32.fromrgb.weight"):
            found = stylegan2.named(gradients, 32)[name]
            goldens.assert_golden(found, STORED, f"r1.grad.{name}", 1e-10)


def test_chances_and_ranges_of_what_is_drawn():
    n, key = 4000, jax.random.key(1)
    draw, same = jax.jit(ada.draw, static_argnums=1), ada.unchanged(n)
    jax.tree.map(np.testing.assert_array_equal, draw(key, n, 0.0), same)

    def changed(p):
        return {
            name: np.mean(np.reshape(a != b, (n, -1)).any(axis=1))
            for name, a, b in zip(same._fields, draw(key, n, p), same, strict=True)
        }

    always, half = changed(1.2), changed(0.5)
    kinds = {"flip": 0.5, "negative": 0.5, "quarters": 0.75}  # what is drawn may be no change
    for name in same._fields:
        expected = kinds.get(name, 1.0)
        chance = 1 - 0.5**0.5 if name in ("before", "after") else 0.5
        assert abs(always[name] - expected) < 0.03, name
        assert abs(half[name] - chance * expected) < 0.03, name
    drawn = draw(key, n, 1.0)
    spread = {"scale": 0.2, "stretch": 0.2, "contrast": 0.5, "saturation": 1.0}
    for name, deviation in spread.items():
        assert abs(np.std(np.log2(getattr(drawn, name))) - deviation) < 0.05 * deviation + 0.01
    assert abs(np.std(drawn.part) - 0.125) < 0.005 and abs(np.std(drawn.brightness) - 0.2) < 0.01
    assert 0.12 < np.abs(drawn.whole).max() <= 0.125 and 3.1 < np.abs(drawn.hue).max() < 3.1416
    assert abs(np.corrcoef(*np.asarray(drawn.part).T)[0, 1]) < 0.06  # x and y apart


def test_images_change_apart_and_with_the_key():
    x = jnp.repeat(images(1, 1, 32, "float32"), 3, axis=0)
    augment = jax.jit(ada.augment)
    y = augment(jax.random.key(0), x, 1.0)
    assert np.abs(np.asarray(y[0] - y[1])).mean() > 0.05
    assert np.abs(np.asarray(y - augment(jax.random.key(1), x, 1.0))).mean() > 0.05
    np.testing.assert_allclose(augment(jax.random.key(0), x, 0.0), x, atol=1e-5)
