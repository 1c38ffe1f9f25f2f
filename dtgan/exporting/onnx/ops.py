"""JAX's primitives as ONNX operators: ELEMENTWISE and STRUCTURAL, tables of converters by name.

A converter gets the `onnx_graph.Graph`, the parameters of the primitive and its operands (Tensors),
appends nodes and returns the name of the result. Operands of an elementwise primitive may still be
broadcast by ONNX; a structural one gets whole ones and, before them, its results without a value.
Shapes hold numbers that are not int: multiples of the batch size.
"""

import functools
import string

import numpy as np

from dtgan.config import ConfigError
from dtgan.exporting.onnx.tracing import free

LAST = np.iinfo(np.int64).max  # as the end of a slice: to the last element


def refuse(name, detail=""):
    """Raise ConfigError for a primitive without a converter."""
    raise ConfigError(
        f"no ONNX form is known for the JAX primitive {name!r}{detail}; leave onnx out of --format"
    )


def _scalar(value, x):
    """Return a number in x's type."""
    return np.asarray(value, x.dtype)


# --- elementwise ----------------------------------------------------------------------------------


def _same_op(op, graph, params, *operands):
    return graph.add(op, *operands)


def _identity(graph, params, x):
    return graph.name(x)


def _square(graph, params, x):
    return graph.add("Mul", x, x)


def _integer_pow(graph, params, x):
    return (
        graph.add("Mul", x, x) if params["y"] == 2 else graph.add("Pow", x, _scalar(params["y"], x))
    )


def _rsqrt(graph, params, x):
    return graph.add("Reciprocal", graph.add("Sqrt", x))


def _log1p(graph, params, x):
    return graph.add("Log", graph.add("Add", x, _scalar(1, x)))


def _expm1(graph, params, x):
    """Compute expm1 as tanh(x / 2) (exp(x) + 1), exact at 0 and precise near it."""
    half = graph.add("Tanh", graph.add("Mul", x, _scalar(0.5, x)))
    return graph.add("Mul", half, graph.add("Add", graph.add("Exp", x), _scalar(1, x)))


def _maximum(graph, params, x, y):
    for a, b in ((x, y), (y, x)):
        if b.constant and b.held == () and b.value == 0 and a.dtype.kind == "f":
            return graph.add("Relu", a)  # runtimes fuse it with the layer before
    return graph.add("Max", x, y)


def _clamp(graph, params, low, x, high):
    return graph.add("Min", graph.add("Max", x, low), high)


def _remainder(graph, params, x, y):
    return graph.add("Mod", x, y, fmod=1)


def _to_even(graph, params, x):
    if params["rounding_method"] != 1:
        refuse("round", " away from zero")
    return graph.add("Round", x)


def _not_equal(graph, params, x, y):
    return graph.add("Not", graph.add("Equal", x, y))


def _is_finite(graph, params, x):
    return graph.add("Not", graph.add("Or", graph.add("IsInf", x), graph.add("IsNaN", x)))


def _logical(op, graph, params, *operands):
    if operands[0].dtype != bool:
        refuse(op.lower(), f" of {operands[0].dtype}")
    return graph.add(op, *operands)


def _select(graph, params, which, *cases):
    if which.dtype != bool or len(cases) != 2:
        refuse("select_n", f" of {len(cases)} by {which.dtype}")
    return graph.add("Where", which, cases[1], cases[0])


def _cast(graph, params, x):
    wanted = np.dtype(params["new_dtype"])
    return graph.name(x) if wanted == x.dtype else graph.add("Cast", x, to=wanted)


SAME_OP = {
    "abs": "Abs",
    "add": "Add",
    "ceil": "Ceil",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
ELEMENTWISE = {
    **{name: functools.partial(_same_op, op) for name, op in SAME_OP.items()},
    **{op.lower(): functools.partial(_logical, op) for op in ("And", "Or", "Xor", "Not")},
    "clamp": _clamp,
    "convert_element_type": _cast,
    "copy": _identity,
    "expm1": _expm1,
    "integer_pow": _integer_pow,
    "is_finite": _is_finite,
    "log1p": _log1p,
    "max": _maximum,
    "ne": _not_equal,
    "rem": _remainder,
    "round": _to_even,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "square": _square,
    "stop_gradient": _identity,
}


# --- structural -----------------------------------------------------------------------------------


def _reshape(graph, params, out, x):
    shape = [d if isinstance(d, int) else -1 for d in out[0].shape]
    if shape.count(-1) > 1:
        refuse("reshape", " to two dimensions with the batch size")
    return graph.add("Reshape", x, shape)


def _squeeze(graph, params, out, x):
    return graph.add("Squeeze", x, params["dimensions"])


def _transpose(graph, params, out, x):
    return graph.name(graph.transpose(x, params["permutation"]))


def _concatenate(graph, params, out, *parts):
    whole = [x for x in parts if 0 not in x.shape]
    return graph.add("Concat", *whole, axis=params["dimension"])


def _stack(graph, params, out, *parts):
    axis = params["axis"]
    return graph.add("Concat", *(graph.add("Unsqueeze", x, [axis]) for x in parts), axis=axis)


def _split(graph, params, out, x):
    count = len(params["sizes"])
    names = graph.add("Split", x, params["sizes"], outputs=count, axis=params["axis"])
    return [names] if count == 1 else names


def _slice_(graph, params, out, x):
    starts, ends = params["start_indices"], params["limit_indices"]
    steps = params["strides"] or (1,) * len(starts)
    cut = [
        (axis, start, LAST if end == size else end, step)
        for axis, (start, end, step, size) in enumerate(
            zip(starts, ends, steps, x.shape, strict=True)
        )
        if (start, end, step) != (0, size, 1)
    ]
    if any(not isinstance(number, int) for row in cut for number in row):
        refuse("slice", " at a multiple of the batch size")
    if not cut:
        return graph.name(x)
    axes, starts, ends, steps = zip(*cut, strict=True)
    return graph.add("Slice", x, starts, ends, axes, steps)


def _reverse(graph, params, out, x):
    axes = [axis for axis in params["dimensions"] if x.shape[axis] != 1]
    if x.constant and not free(x.shape):
        return np.flip(x.array(), axes)
    if not axes:  # a border of one pixel that jnp.pad mirrors
        return graph.name(x)
    n = len(axes)
    return graph.add("Slice", x, [-1] * n, [-LAST] * n, axes, [-1] * n)


def _pad(graph, params, out, x, value):
    low, high, interior = zip(*params["padding_config"], strict=True)
    if any(interior):
        refuse("pad", " between elements")
    return graph.add("Pad", x, low + high, value)


def _reduce(op, graph, params, out, x):
    axes = params["axes"]
    if not axes:  # ONNX would take all
        return graph.name(x)
    if op == "ReduceSum" or graph.opset >= 18:
        return graph.add(op, x, axes, keepdims=0)
    return graph.add(op, x, axes=axes, keepdims=0)


def _argument(op, graph, params, out, x):
    (axis,) = params["axes"]
    found = graph.add(op, x, axis=axis, keepdims=0)
    return graph.add("Cast", found, to=np.dtype(params["index_dtype"]))


def _cumsum(graph, params, out, x):
    axis = np.asarray(params["axis"])
    return graph.add("CumSum", x, axis, reverse=int(params["reverse"]))


def _dot_general(graph, params, out, x, y):
    (contract_x, contract_y), (batch_x, batch_y) = params["dimension_numbers"]
    if x.dtype != out[0].dtype or y.dtype != out[0].dtype:
        refuse("dot_general", f" of {x.dtype} and {y.dtype} to {out[0].dtype}")
    if (
        not batch_x
        and contract_x == (len(x.shape) - 1,)
        and contract_y == (0,)
        and len(y.shape) == 2
    ):
        return graph.add("MatMul", x, y)
    letters = iter(string.ascii_letters)
    of_x, of_y = [""] * len(x.shape), [""] * len(y.shape)
    for a, b in zip((*batch_x, *contract_x), (*batch_y, *contract_y), strict=True):
        of_x[a] = of_y[b] = next(letters)
    of_x, of_y = ([a or next(letters) for a in axes] for axes in (of_x, of_y))
    batch = [of_x[a] for a in batch_x]
    rest = [a for a in of_x if a not in of_y] + [b for b in of_y if b not in of_x]
    equation = f"{''.join(of_x)},{''.join(of_y)}->{''.join(batch + rest)}"
    return graph.add("Einsum", x, y, equation=equation)


def _convolution(graph, params, out, x, kernel):
    numbers, pads, strides = (
        params[name] for name in ("dimension_numbers", "padding", "window_strides")
    )
    o, i, *window = numbers.rhs_spec
    op, order = "Conv", (o, i, *window)
    if any(d != 1 for d in params["lhs_dilation"]):
        # The adjoint of a strided convolution: ONNX's takes its kernel reversed, and its padding
        # from where the window still touches the image.
        simple = params["feature_group_count"] == 1 and set(params["rhs_dilation"]) == {1}
        if not simple or set(strides) != {1}:
            refuse("conv_general_dilated", " with a dilated input and strides, windows or groups")
        op, order, strides = "ConvTranspose", (i, o, *window), params["lhs_dilation"]
        pads = [
            tuple(kernel.shape[a] - 1 - p for p in pair)
            for a, pair in zip(window, pads, strict=True)
        ]
        kernel = _reverse(graph, {"dimensions": window}, out, kernel)
    if params["batch_group_count"] != 1:
        refuse("conv_general_dilated", " with batch groups")
    if min((0, *(p for pair in pads for p in pair))) < 0:
        refuse("conv_general_dilated", " with such a padding")
    y = graph.add(
        op,
        graph.transpose(x, numbers.lhs_spec),
        graph.transpose(kernel, order),
        strides=strides,
        pads=[p for side in zip(*pads, strict=True) for p in side],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    return graph.name(graph.transpose(y, np.argsort(numbers.out_spec).tolist()))


def _pool(op, graph, params, x, pads):
    """Pool x over its windows; in ONNX the two axes without windows come first."""
    size, strides = params["window_dimensions"], params["window_strides"]
    moving = [
        (k, s, tuple(p)) != (1, 1, (0, 0)) for k, s, p in zip(size, strides, pads, strict=True)
    ]
    order = sorted(range(len(size)), key=lambda axis: moving[axis])
    spatial = order[2:]
    dilations = [params["window_dilation"][a] for a in spatial]
    if any(moving[a] for a in order[:2]) or any(d != 1 for d in params["base_dilation"]):
        refuse("reduce_window", " over more than all axes but two, or of a dilated input")
    attributes = {"dilations": dilations} if op == "MaxPool" else {"count_include_pad": 1}
    if op != "MaxPool" and any(d != 1 for d in dilations):
        refuse("reduce_window_sum", " of dilated windows")
    y = graph.add(
        op,
        graph.transpose(x, order),
        kernel_shape=[size[a] for a in spatial],
        strides=[strides[a] for a in spatial],
        pads=[pads[a][side] for side in (0, 1) for a in spatial],
        **attributes,
    )
    return graph.transpose(y, np.argsort(order).tolist())


def _window_max(graph, params, out, x):
    return _pool("MaxPool", graph, params, x, params["padding"])


def _window_min(graph, params, out, x):
    return graph.add("Neg", _pool("MaxPool", graph, params, graph.add("Neg", x), params["padding"]))


def _window_sum(graph, params, out, x):
    mean = _pool("AveragePool", graph, params, x, params["padding"])
    return graph.add("Mul", mean, _scalar(np.prod(params["window_dimensions"]), out[0]))


def _window_general(graph, params, out, x, start):
    """Reduce windows from a start value other than the neutral one: a maximum with 0, say."""
    steps = [eqn.primitive.name for eqn in params["jaxpr"].eqns]
    if steps == ["max"]:
        return graph.add("Max", _window_max(graph, params, out, x), start)
    if steps == ["min"]:
        return graph.add("Min", _window_min(graph, params, out, x), start)
    # In a sum the start value would be added once for each pixel of a window beyond the edge.
    refuse("reduce_window", f" by {', '.join(steps)} from another start than its own")


STRUCTURAL = {
    "argmax": functools.partial(_argument, "ArgMax"),
    "argmin": functools.partial(_argument, "ArgMin"),
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "cumsum": _cumsum,
    "dot_general": _dot_general,
    "pad": _pad,
    "reduce_max": functools.partial(_reduce, "ReduceMax"),
    "reduce_min": functools.partial(_reduce, "ReduceMin"),
    "reduce_prod": functools.partial(_reduce, "ReduceProd"),
    "reduce_sum": functools.partial(_reduce, "ReduceSum"),
    "reduce_window": _window_general,
    "reduce_window_max": _window_max,
    "reduce_window_min": _window_min,
    "reduce_window_sum": _window_sum,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice_,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
}
