"""Pins the classifiers to torchvision: logits, parameters, names, start values; and grey images."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.models import backbones
from dtgan.models.densenet import DenseNet
from dtgan.models.resnet import ResNet, max_pool
from dtgan.weights import published
from tests import goldens

COUNTS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "densenet121": 7_978_856,
}
STAGES = {
    "resnet18": (64, 128, 256, 512),
    "resnet34": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
    "densenet121": (256, 512, 1024, 1024),
}
SMALL = {  # what does not depend on depth is pinned where it compiles fast
    "resnet": functools.partial(ResNet, (1, 1, 1, 1), False, 100),
    "densenet": functools.partial(DenseNet, (1, 1, 1, 1), 100),
}
ALL = pytest.mark.parametrize("name", COUNTS)
EACH = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)


@functools.cache
def abstract(module, channels=3):
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 64, 64, channels)))


def small_state(module):
    """A state dict of a small network, filled by the golden rule."""
    zeros = jax.tree.map(lambda x: np.zeros(x.shape), abstract(module))
    return {k: goldens.entry(k, v.shape) for k, v in published.from_variables(zeros).items()}


def run(module, state, x):
    return jax.jit(module.apply)(published.to_variables(state, abstract(module, x.shape[-1])), x)


def relative(a, b):
    return np.max(np.abs(np.asarray(a, np.float32) - b)) / np.max(np.abs(b))


@ALL
def test_logits_are_torchvisions(name):
    x = backbones.normalise(goldens.images(7, 2, 224))
    out = run(backbones.make(name, 1000), goldens.state(name), x)
    assert relative(out.logits, goldens.values("torchvision_logits")[name]) < 1e-5
    shapes = [(2, 224 // s, 224 // s, c) for s, c in zip((4, 8, 16, 32), STAGES[name], strict=True)]
    assert [s.shape for s in out.stages] == shapes
    assert all(jnp.min(s) == 0 for s in out.stages)
    np.testing.assert_allclose(out.pooled, out.stages[-1].mean((1, 2)), rtol=1e-5)


@ALL
def test_parameter_counts(name):
    tree = abstract(backbones.make(name, 1000))
    assert sum(x.size for x in jax.tree.leaves(tree["params"])) == COUNTS[name]


@pytest.mark.parametrize(("name", "width"), [("resnet18w32", 32), ("resnet18w16", 16)])
def test_narrow_ones_have_fewer_channels(name, width):
    module = backbones.make(name, 1000)
    images = jnp.zeros((1, 64, 64, 3))
    out = jax.eval_shape(module.apply, abstract(module), images)
    assert [s.shape[-1] for s in out.stages] == [width << i for i in range(4)]


@ALL
def test_state_dict_round_trip(name):
    state = {k: v for k, v in goldens.state(name).items() if not k.endswith("num_batches_tracked")}
    variables = published.to_variables(state, abstract(backbones.make(name, 1000)))
    back = published.from_variables(variables)
    assert back.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(back[key], array, err_msg=key)


@EACH
def test_train_mode(make):
    """The batch is normalised by itself, and the running statistics move by a tenth."""
    module, x = make(), backbones.normalise(goldens.images(3, 4, 64))
    old = published.to_variables(small_state(module), abstract(module))
    apply = jax.jit(functools.partial(module.apply, train=True, mutable=["batch_stats"]))
    out, new = apply(old, x)
    moved = jax.tree.map(lambda a, b: np.all(a != b), old["batch_stats"], new["batch_stats"])
    assert all(jax.tree.leaves(moved))
    # In this mode the running statistics have no effect on the output.
    again, _ = apply(old | new, x)
    np.testing.assert_array_equal(again.logits, out.logits)

    conv = module.stem.removesuffix(".weight")
    norm = conv.replace("conv1", "bn1").replace("conv0", "norm0")
    y = jax.lax.conv_general_dilated(
        x,
        old["params"][conv]["kernel"],
        (2, 2),
        ((3, 3), (3, 3)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    for key, value in {"mean": y.mean((0, 1, 2)), "var": y.var((0, 1, 2))}.items():
        expected = 0.9 * old["batch_stats"][norm][key] + 0.1 * value
        np.testing.assert_allclose(new["batch_stats"][norm][key], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [6, 7])
def test_max_pool_is_flaxs_with_its_gradient(side):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, side, side, 3)), jnp.float32)

    def flaxs(x):
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))

    for a, b in zip(*(jax.vjp(f, x) for f in (max_pool, flaxs)), strict=True):
        both = (a, b) if not callable(a) else (f(jnp.sin(flaxs(x)))[0] for f in (a, b))
        np.testing.assert_array_equal(*both)


@EACH
def test_bfloat16(make):
    """Convolutions and stages are bfloat16; parameters, pooled features and logits are float32."""
    module, x = make(dtype=jnp.bfloat16), backbones.normalise(goldens.images(3, 2, 64))
    assert all(v.dtype == jnp.float32 for v in jax.tree.leaves(abstract(module)))
    equations = jax.make_jaxpr(module.apply)(abstract(module), x).eqns
    convs = [e.outvars[0].aval for e in equations if e.primitive.name == "conv_general_dilated"]
    assert convs and all(c.dtype == jnp.bfloat16 for c in convs)
    state = small_state(module)
    half, full = run(module, state, x), run(make(), state, x)
    assert half.logits.dtype == half.pooled.dtype == jnp.float32
    assert all(s.dtype == jnp.bfloat16 for s in half.stages)
    assert 0 < relative(half.logits, full.logits) < 0.05


@EACH
def test_grey_stem_equals_three_equal_channels(make):
    module, grey = make(), goldens.images(5, 2, 64, 1).astype(np.float32) / 127.5 - 1
    state = small_state(module)
    one = run(module, backbones.grey_stem(state, module.stem), grey)
    three = run(module, state, grey.repeat(3, axis=-1))
    assert relative(one.logits, three.logits) < 1e-5
    assert state[module.stem].shape == (64, 3, 7, 7), "the given state is left as it was"


def test_normalise_grey_is_normalise_of_three_equal_channels():
    grey = goldens.images(5, 2, 16, 1)
    out = backbones.normalise(grey)
    assert out.shape == (2, 16, 16, 3) and out.dtype == jnp.float32
    np.testing.assert_array_equal(out, backbones.normalise(grey.repeat(3, axis=-1)))


def test_normalise_by_hand():
    image = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    out = jax.jit(backbones.normalise)(image)[0, 0, 0]
    expected = [-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(out, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "fan"), [(SMALL["resnet"], 64 * 49), (SMALL["densenet"], 49)], ids=SMALL
)
def test_start_values(make, fan):
    """He, by fan-out in ResNet and fan-in in DenseNet; a dense kernel within 1 / sqrt(inputs)."""
    module = make()
    state = published.from_variables(
        jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    )
    assert state[module.stem].shape == (64, 1, 7, 7)
    assert np.std(state[module.stem]) == pytest.approx((2 / fan) ** 0.5, rel=0.1)
    (dense,) = (v for v in state.values() if v.ndim == 2)
    bound = dense.shape[1] ** -0.5
    assert 0.99 * bound < np.max(np.abs(dense)) <= bound
    assert all(np.all(v == 0) for k, v in state.items() if k.endswith(("bias", "running_mean")))


def test_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match=r"'resnet101'.*resnet18, resnet34, resnet50, densenet"):
        backbones.make("resnet101", 7)
