"""Pins ONNX models: equal to JAX at any batch size, constants folded, refusals by name."""

import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dtgan.config import ConfigError, base_config
from dtgan.data.procedural import CLASSES
from dtgan.methods import layered as layered_method
from dtgan.models import backbones
from dtgan.models.densenet import DenseNet
from dtgan.models.layered import Filler, LayerEncoder, LayerGenerator
from dtgan.models.resnet import ResNet

pytest.importorskip("onnxruntime")
import onnx
import onnxruntime

from dtgan.exporting.onnx.graph import to_onnx

KEY = jax.random.key(0)
FLOAT = np.dtype(np.float32)


def rows(inputs, n, seed=0):
    """Random arrays of n rows for the inputs of `to_onnx`."""
    rng = np.random.default_rng(seed)
    draw = {
        "f": lambda shape: rng.normal(size=shape),
        "u": lambda shape: rng.integers(0, 256, shape),
        "i": lambda shape: rng.integers(-9, 9, shape),
        "b": lambda shape: rng.random(shape) < 0.5,
    }
    return [
        draw[np.dtype(dtype).kind]((n, *shape)).astype(dtype) for shape, dtype in inputs.values()
    ]


def run(model, inputs, arrays):
    """{output: array} of a model, or of its bytes, in onnxruntime."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(zip(inputs, arrays, strict=True))), strict=True))


def assert_close(found, expected):
    """Equal types and shapes; values to 1e-4 of the largest."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    scale = np.abs(expected.astype(np.float64)).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)


def check(fn, inputs, outputs=None, together=False, **options):
    """The model of fn agrees with JAX at batch sizes 3 and 1 -> onnx.ModelProto.

    together: rows see each other; else JAX's answer for three of them is that for one, too.
    """
    data = to_onnx(fn, inputs, outputs, **options)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    for n in (3, 1):
        given = [array[:n] for array in rows(inputs, 3)]
        if n == 3 or together:
            result = jax.jit(fn)(*given)
        for k, (name, found) in enumerate(run(data, inputs, given).items()):
            expected = result[name] if isinstance(result, dict) else jax.tree.leaves(result)[k]
            assert_close(found, np.asarray(expected if together else expected[:n]))
    return model


def check_op(op, *shapes, dtype=FLOAT, **options):
    """`check` of a function of arrays with these shapes of a row."""
    inputs = {f"x{i}": (shape, dtype) for i, shape in enumerate(shapes)}
    return check(op, inputs, ["y"], **options)


def operators(model):
    return [node.op_type for node in model.graph.node if node.op_type != "Identity"]


# --- networks -------------------------------------------------------------------------------------


def drawn(module, *shapes, gain=lambda shape: 1.0):
    """Random parameters of a module, from NumPy: compiling its `init` takes longer."""
    rng = np.random.default_rng(0)

    def draw(x):
        if x.ndim < 2:
            return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
        return rng.normal(0.0, gain(x.shape), x.shape).astype(np.float32)

    rows = (jax.ShapeDtypeStruct((1, *shape), FLOAT) for shape in shapes)
    return jax.tree.map(draw, jax.eval_shape(module.init, KEY, *rows))


def test_layered_encoder_and_generator():
    encoder, generator, res = LayerEncoder(2, stride=2), LayerGenerator(64, 2), 64
    p = drawn(encoder, (res, res, 1)), drawn(generator, (32, 32, 8), (32,))

    def fn(image):
        z = encoder.apply(p[0], image)
        return (*z, *generator.apply(p[1], z.z_s, z.z_t))

    names = ["z_s", "z_t", "presence", "reflectance", "matte"]
    model = check(fn, {"image": ((res, res, 1), FLOAT)}, names)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["batch", res, res, 1]


def test_filler():
    filler = Filler(2)
    inputs = {"image": ((32, 32, 1), FLOAT), "known": ((32, 32, 1), FLOAT), "z_t": ((16,), FLOAT)}
    params = drawn(filler, *(shape for shape, _ in inputs.values()))

    def fn(image, known, z_t):
        return filler.apply(params, image, jnp.clip(known, 0.0, 1.0), z_t)

    check(fn, inputs, ["surface"])


@pytest.mark.parametrize(
    "net",
    [
        backbones.make("resnet18", 3),
        ResNet((1, 2, 1, 1), bottleneck=True, num_classes=3),
        DenseNet((1, 2, 2, 1), num_classes=3, growth=8),
    ],
    ids=["resnet18", "bottleneck", "densenet"],
)
def test_classifiers(net):
    variables = drawn(net, (64, 64, 1), gain=lambda shape: math.sqrt(2.0 / math.prod(shape[:-1])))

    def fn(image):
        out = net.apply(variables, image)
        return {"logits": out.logits, "pooled": out.pooled, "last": out.stages[-1]}

    model = check(fn, {"image": ((64, 64, 1), FLOAT)}, ["logits", "last"])
    assert [x.name for x in model.graph.output] == ["logits", "last"]
    # What only depends on parameters is stored: no root is left of the normalisation.
    assert not {"Sqrt", "Reciprocal", "Expand"} & set(operators(model))


@pytest.fixture(scope="module")
def carry():
    """(infer of an untrained layered model that draws a lot, its inputs)."""
    config = base_config("layered")
    config.data.res, config.model.ch = 32, 2
    method = layered_method.make(config, CLASSES)
    spec = {"image": np.zeros((8, 32, 32, 1), np.uint8)}
    ema = jax.jit(lambda key: method.init(key, spec).ema)(jax.random.key(1))
    for net, layer in (("G", "layer"), ("E", "structure")):
        bias = ema[net]["params"][layer]["bias"]
        ema[net]["params"][layer]["bias"] = bias.at[-1].set(2.0)
    image = (32, 32, 1), np.uint8
    inputs = {"defect": image, "surface": image, "strength": ((), FLOAT)}

    def infer(defect, surface, strength, **controls):
        request = {"defect": defect, "surface": surface, "strength": abs(strength), **controls}
        drawn = method.infer(ema, request, None)
        return {"drawn": drawn.pop("image"), **drawn}

    return infer, inputs


def test_layered_inference(carry):
    infer, inputs = carry
    model = check(infer, inputs, metadata={"classes": "normal,crack"})
    assert [x.name for x in model.graph.output] == ["drawn", "mask", "clean", "rec", "removed"]
    assert model.metadata_props[0].value == "normal,crack"
    images, strength = rows(inputs, 2)[:2], np.array([1.0, 0.0], np.float32)
    drawn = run(model, inputs, [*images, strength])
    assert drawn["mask"][0].max() > 0.5
    # Without strength the surface stays as it is, bit for bit, as in JAX.
    np.testing.assert_array_equal(drawn["drawn"][1], drawn["clean"][1])


def test_layered_inference_with_every_control(carry):
    infer, inputs = carry
    names = "shift", "scale", "flip", "limit"
    more = [((2,), FLOAT), ((), FLOAT), ((2,), np.dtype(bool)), ((32, 32, 1), np.dtype(np.uint8))]
    inputs = inputs | dict(zip(names, more, strict=True))

    def fn(defect, surface, strength, *controls):
        shift, scale, *rest = controls
        controls = 0.2 * shift, jnp.exp(0.3 * scale), *rest
        return infer(defect, surface, strength, **dict(zip(names, controls, strict=True)))

    check(fn, inputs, ["drawn", "mask"])


# --- primitives -----------------------------------------------------------------------------------

ARITHMETIC = {
    "signs": lambda x: jnp.sign(x) + jnp.abs(x) - jnp.floor(x) * jnp.ceil(-x) + jnp.round(x),
    "exponentials": lambda x: jnp.exp(x) + jnp.log(jnp.abs(x)) + jnp.log1p(jnp.abs(x)),
    "expm1": lambda x: 1e7 * jnp.expm1(1e-6 * x),
    "expm1 of large": lambda x: jnp.expm1(30.0 * x) / jnp.exp(30.0 * jnp.maximum(x, 0.0)),
    "squashes": lambda x: jnp.tanh(x) + jax.nn.sigmoid(x) + jax.nn.softplus(x) + lax.erf(x),
    "roots": lambda x: lax.rsqrt(jnp.abs(x) + 0.1) + jnp.sqrt(jnp.abs(x)),
    "powers": lambda x: x**2 + x**3 + (jnp.abs(x) + 1.0) ** -1 + jnp.abs(x) ** 0.3,
    "waves": lambda x: jnp.sin(x) * jnp.cos(x),
    "remainders": lambda x: x % 0.7 + jnp.fmod(x, 0.7),
    "limits": lambda x: jnp.clip(x, -0.5, 0.5) + lax.clamp(-1.0, x, 1.0) + jax.nn.leaky_relu(x),
    "larger": lambda x: jnp.maximum(x, 0.0) + jnp.maximum(0.3, x) + jnp.minimum(x, 0.1),
    "comparisons": lambda x: jnp.where((x > 0.5) | ~(x >= -0.5) & (x != 0), x, -1.0) + (x == x),
    "not finite": lambda x: jnp.where(jnp.isfinite(x / jnp.maximum(x, 0.0)), x, 7.0),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name):
    check_op(ARITHMETIC[name], (4, 5))


def test_types():
    check_op(lambda x: (x * 9.0).astype(jnp.int32), (5,))
    check_op(lambda x: x.astype(jnp.float32) / 255.0, (5,), dtype=np.dtype(np.uint8))
    check_op(lambda x: (x > 3) ^ (x < -3), (5,), dtype=np.dtype(np.int32))
    check_op(lambda x: jnp.maximum(x, 0) // 2, (5,), dtype=np.dtype(np.int32))


STRUCTURE = {
    "slices": lambda x: x[:, 1:, ::2, -1] + x[:, :3, 1::2, 0],
    "first row for all": lambda x: x + x[:1],
    "reversed": lambda x: jnp.flip(x, (1, 2)),
    "constant for all": lambda x: jnp.concatenate([x, jnp.ones((len(x), 4, 6, 1))], axis=-1),
    "value of a row for all": lambda x: jnp.repeat(x[:, :1], 3, axis=1),
    "zero pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=0.5),
    "crop by pad": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (-1, 2, 0), (1, -2, 0), (0, 0, 0))),
    "edge pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0)), mode="edge"),
    "reflect pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (1, 1), (0, 0)), mode="reflect"),
    "split": lambda x: jnp.split(x, [1, 3], axis=1)[1] + jnp.split(x, 2, axis=1)[0],
    "rolled": lambda x: jnp.roll(x, 2, axis=2),
    "sums": lambda x: jnp.cumsum(x, axis=2) + jnp.sum(x, axis=1, keepdims=True),
    "reversed sums": lambda x: lax.cumsum(x, axis=1, reverse=True),
    "extremes": lambda x: jnp.max(x, axis=(1, 2)) - jnp.min(x, axis=(1, 2)) + jnp.mean(x, (1, 2)),
    "softmax": lambda x: jax.nn.softmax(x, axis=-1) * jnp.prod(x, axis=-1, keepdims=True),
    "class": lambda x: jnp.argmax(x, axis=-1) - jnp.argmin(x, axis=1)[:, :4, :1],
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(name):
    check_op(STRUCTURE[name], (4, 6, 5))


TOGETHER = {
    "transposed": lambda x: x.transpose(2, 0, 3, 1),
    "product": lambda x: x.reshape(-1, 5).T @ x.reshape(-1, 5),
    "pairs": lambda x: jnp.stack([x, 2 * x], axis=1).reshape(-1, 4, 6, 5),
    "sum": lambda x: x / jnp.sum(jnp.abs(x), axis=(0, 1), keepdims=True),
    "one after the other": lambda x: jnp.flip(jnp.cumsum(x, axis=0), axis=0),
    "every pair": lambda x: jnp.einsum("nijk,mijk->nm", x, x),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_rows_together(name):
    check_op(TOGETHER[name], (4, 6, 5), together=True)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("nij,njk->nik", ((3, 4), (4, 5))),
        ("nij,njkc->nikc", ((3, 4), (4, 5, 2))),
        ("nlk,nikc->nilc", ((3, 4), (5, 4, 2))),
    ],
)
def test_products(equation, shapes):
    check_op(lambda x, y: jnp.einsum(equation, x, y), *shapes)


def test_products_with_constants():
    weights = np.asarray(jax.random.normal(KEY, (5, 3)))
    model = check_op(lambda x: x @ (2.0 * weights), (4, 5))
    assert operators(model) == ["MatMul"]
    check_op(lambda x: jnp.einsum("nic,dc->nid", x, weights.T), (4, 5))


@pytest.mark.parametrize(
    "options",
    [
        {"window_strides": (1, 1), "padding": "SAME"},
        {"window_strides": (2, 1), "padding": ((0, 1), (2, 0))},
        {"window_strides": (1, 2), "padding": "VALID", "rhs_dilation": (2, 1)},
        {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 2},
        {"window_strides": (1, 1), "padding": ((2, 2), (1, 0)), "lhs_dilation": (2, 3)},
    ],
)
def test_convolutions(options):
    width = 4 // options.get("feature_group_count", 1)
    kernel = jax.random.normal(KEY, (3, 2, width, 6))
    order = ("NHWC", "HWIO", "NHWC")
    check_op(
        lambda x: lax.conv_general_dilated(x, kernel, dimension_numbers=order, **options), (7, 8, 4)
    )


def test_convolution_with_channels_first():
    kernel = jax.random.normal(KEY, (6, 4, 3, 3))
    model = check_op(lambda x: lax.conv(x, kernel, (1, 1), "SAME"), (4, 7, 8))
    assert operators(model) == ["Conv"]


@pytest.mark.parametrize(
    ("reduction", "start"),
    [(lax.max, -jnp.inf), (lax.max, 0.3), (lax.min, jnp.inf), (lax.min, 0.3), (lax.add, 0.0)],
)
def test_windows(reduction, start):
    windows = (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 0), (0, 1), (0, 0))
    check_op(lambda x: lax.reduce_window(x, start, reduction, *windows), (7, 8, 3))


def test_calls_are_inlined():
    @jax.custom_vjp
    def double(x):
        return 2.0 * x

    double.defvjp(lambda x: (double(x), None), lambda _, g: (2.0 * g,))
    offset = np.arange(4, dtype=np.float32)
    called = jax.checkpoint(lambda x: jnp.sin(x) + offset[None])
    check_op(lambda x: jax.jit(lambda x: jax.nn.relu(called(double(x))))(x), (4,))


def test_other_platforms_branch_is_taken():
    model = check_op(
        lambda x: lax.platform_dependent(x, cpu=lambda x: x - -2.0, default=lambda x: x + 2.0), (4,)
    )
    assert operators(model) == ["Add"]


# --- the graph ------------------------------------------------------------------------------------


def test_constants_are_folded_broadcast_and_shared():
    weights = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)

    def fn(x):
        scale = jnp.sum(jnp.square(weights), axis=0)
        return (x * scale[None]) @ weights.T + jnp.ones((len(x), 3)), (x + 1.0) @ weights.T

    model = check(fn, {"x": ((4,), FLOAT)}, ["a", "b"])
    assert sorted(operators(model)) == ["Add", "Add", "MatMul", "MatMul", "Mul"]
    sizes = sorted(np.prod(x.dims) for x in model.graph.initializer)
    assert sizes == [1, 1, 4, 12]  # 1.0 as a scalar and as [1, 1], the scale, the weights


def test_the_graph_has_nothing_that_opencv_4_refuses():
    weights = np.linspace(-1.0, 1.0, 16, dtype=np.float32).reshape(4, 4)

    def fn(x):
        padded = [jnp.pad(x, ((0, 0), (k, 0))) for k in (1, 2)]
        mirrored = jnp.pad(x, ((0, 0), (1, 1)), mode="symmetric")
        grown = jnp.concatenate([x[:, :, None, None], jnp.ones((len(x), 4, 1, 1))], axis=2)
        return *padded, mirrored, grown, x @ weights + 1.0, x @ weights.T + 1.0

    graph = check(fn, {"x": ((4,), FLOAT)}, list("abcdef"), together=True).graph
    stored = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    used = collections.defaultdict(list)
    for node in graph.node:
        used[node.op_type].append(node)
    for op in ("Add", "Pad"):  # have constants of their own
        names = [name for node in used[op] for name in node.input if name in stored]
        assert len(names) >= 2 and len(names) == len(set(names)), op
    assert [stored[n.input[1]].size for n in used["Unsqueeze"]] == [1, 1]  # of an axis each
    assert all(stored[n.input[4]].min() > 0 for n in used["Slice"] if len(n.input) > 4)
    assert [len(n.attribute) for n in used["Shape"]] == [0]
    # What is known of a constant's shape is stored: only the batch is left to Expand.
    assert [stored[n.input[0]].shape for n in used["Expand"]] == [(1, 4, 1, 1)]


def test_bytes_are_not_stored_as_such():
    """OpenCV 4 reads them 128 less, without a word."""
    inputs = {"x": ((4,), np.dtype(np.uint8))}
    graph = check(lambda x: (x > 127) * x, inputs, ["y"]).graph
    assert graph.initializer and all(
        x.data_type != onnx.TensorProto.UINT8 for x in graph.initializer
    )


def test_what_no_output_needs_is_left_out():
    def fn(x):
        unused = jnp.sort(x)  # has no ONNX form here
        return {"y": 2.0 * x, "z": jnp.exp(unused)}

    assert operators(check(jax.jit(fn), {"x": ((4,), FLOAT)}, ["y"])) == ["Mul"]


def test_outputs_may_be_inputs_constants_and_each_other():
    def fn(x):
        y = jnp.exp(x)
        return x, y, y, jnp.ones((len(x), 2)), jnp.arange(3)

    check(fn, {"x": ((4,), FLOAT)}, list("abcde"), together=True)


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_opsets(opset):
    model = check_op(lambda x: jnp.max(x, axis=1) + jnp.sum(x, axis=1), (4, 5), opset=opset)
    assert model.opset_import[0].version == opset
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


REFUSED = {
    "sort": lambda x: jnp.sort(x, axis=1),
    "while": lambda x: lax.while_loop(lambda y: jnp.sum(y) < 9.0, lambda y: y + 1.0, x),
    "random_bits": lambda x: x + jax.random.normal(KEY, x.shape),
    "iota": lambda x: x + jnp.arange(len(x), dtype=jnp.float32)[:, None],
    "conv_general_dilated": lambda x: lax.conv_general_dilated(
        x[:, None], jnp.ones((2, 1, 3)), (2,), ((1, 1),), lhs_dilation=(2,)
    ),
    "pad": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1))),
    "reduce_window": lambda x: lax.reduce_window(x, 0.3, lax.add, (1, 2), (1, 1), "SAME"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unknown_primitives_are_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"'{name}'"):
        to_onnx(REFUSED[name], {"x": ((4,), FLOAT)}, ["y"])


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x - jnp.mean(x, axis=0, keepdims=True),
        lambda x: x + float(len(x)),
        lambda x: jnp.pad(x, ((0, 1), (0, 0))),
        lambda x: x if len(x) > 5 else 2.0 * x,
    ],
    ids=["mean of a batch", "its size", "one row more", "other steps"],
)
def test_a_batch_size_that_is_more_than_a_shape_is_refused(fn):
    with pytest.raises(ConfigError, match="batch size"):
        to_onnx(fn, {"x": ((4,), FLOAT)}, ["y"])


def test_names_are_checked():
    inputs = {"x": ((4,), FLOAT)}
    for fn, outputs, message in [
        (lambda x: {"x": x}, None, "'x' names two"),
        (lambda x: (x, x), ["y", "y"], "'y' names two"),
        (lambda x: (x, x), ["y"], "2 arrays"),
        (lambda x: {"y": x}, ["z"], "no 'z'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            to_onnx(fn, inputs, outputs)
    with pytest.raises(ConfigError, match="empty"):
        to_onnx(lambda: jnp.ones(3), {}, ["y"])
    with pytest.raises(ConfigError, match="opset=9"):
        to_onnx(lambda x: x, inputs, ["y"], opset=9)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"dtgan\[onnx\]"):
        to_onnx(lambda x: x, {"x": ((4,), FLOAT)}, ["y"])
