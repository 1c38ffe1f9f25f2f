"""Conversion of a JAX function to an ONNX model with a free batch size, for runtimes without JAX.

Its equations become nodes one by one, with the tables of `ops`; values that depend on no input are
computed here and stored.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from jax.extend import core

from dtgan.config import ConfigError
from dtgan.exporting.onnx import ops
from dtgan.exporting.onnx.tracing import (
    BATCHES,
    Batch,
    called,
    dims,
    equal,
    free,
    needed,
    same,
    trace,
)

OLDEST_OPSET = 17
OWN = ("Add", "Pad")  # operators of which OpenCV 4 refuses two with the same constant


class Node(NamedTuple):
    """An operator of the graph; inputs and outputs are names of values."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value of the traced function.

    shape: as in JAX, of int and Batch. held: the shape of the stored `value`, which has 1 in the
    dimensions still to be broadcast: ONNX's arithmetic broadcasts by itself. value: an array where
    it is constant, else the name of a value of the graph.
    """

    shape: tuple
    held: tuple
    dtype: Any
    value: Any

    @property
    def constant(self):
        return not isinstance(self.value, str)

    def array(self):
        """Return the constant broadcast to `shape`, which must not be free."""
        # Random keys stay as they are: NumPy has none, and nothing broadcasts them.
        return self.value if self.held == self.shape else np.broadcast_to(self.value, self.shape)


class Graph:
    """Nodes in order, and the constants {name: array} that they use."""

    def __init__(self, opset, first_input):
        self.opset = opset
        self.nodes = []
        self.constants = {}
        self._names = {}  # (dtype, shape, bytes) -> name: equal constants are stored once
        self._first_input = first_input

    @functools.cached_property
    def rows(self):
        """Name of the batch size, an int64 vector of length 1."""
        # Not by Shape's own start and end, which not every runtime heeds.
        return self.add("Slice", self.add("Shape", self._first_input), [0], [1])

    def add(self, op, *inputs, outputs=1, **attributes):
        """Append a node -> the name of its output, or a tuple of `outputs` names.

        inputs: names, arrays, sequences of int, or Tensors (in their shape `held`).
        """
        read = tuple(self.name(value, shared=op not in OWN) for value in inputs)
        names = [f"{op}/{len(self.nodes)}/{k}" for k in range(outputs)]
        self.nodes.append(Node(op, read, tuple(names), attributes))
        return names[0] if outputs == 1 else tuple(names)

    def name(self, value, shared=True):
        """Return the name of a value; a constant is stored under one, equal ones once if shared."""
        value = value.value if isinstance(value, Tensor) else value
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        key = array.dtype.str, array.shape, array.tobytes()
        if not (shared and key in self._names):
            self._names[key] = self._store(array)
        return self._names[key]

    def _store(self, array):
        """Store a constant -> its name."""
        if array.dtype == np.uint8:  # OpenCV 4 takes stored bytes to be signed: 128 less
            return self.add("Cast", array.astype(np.int32), to=array.dtype)
        name = f"constant/{len(self.constants)}"
        self.constants[name] = array
        return name

    def full(self, x):
        """Broadcast a Tensor to its whole shape, so that held == shape."""
        if x.held == x.shape:
            return x
        if x.constant and not free(x.shape):
            return constant(x.array())
        if x.constant:  # along the dimensions that are known, here
            known = [1 if isinstance(d, Batch) else d for d in x.shape]
            x = dataclasses.replace(x, held=tuple(known), value=np.broadcast_to(x.value, known))
        # For Expand a 1 means: keep the dimension as it is.
        wanted = [1 if h == d else d for h, d in zip(x.held, x.shape, strict=True)]
        if free(wanted):
            parts = [
                self.add("Mul", self.rows, [d.times]) if isinstance(d, Batch) else [d]
                for d in wanted
            ]
            wanted = self.add("Concat", *parts, axis=0)
        return Tensor(x.shape, x.shape, x.dtype, self.add("Expand", x, wanted))

    def transpose(self, x, axes):
        """Transpose a name or a Tensor to the axes `axes`; constants at once, without a node."""
        if tuple(axes) == tuple(range(len(axes))):
            return x
        if isinstance(x, Tensor) and x.constant and not free(x.shape):
            return np.transpose(x.array(), axes)
        return self.add("Transpose", x, perm=list(axes))


def to_onnx(fn, inputs, outputs=None, opset=17, metadata=None):
    """Convert a pure JAX function to a serialised ONNX model -> bytes.

    fn: (*arrays) -> an array, a tuple or a dict of arrays; parameters that it closes over become
    constants. inputs: {name: (shape of one row, dtype)} in the order of the arguments, for example
    {"image": ((64, 64, 1), np.uint8), "strength": ((), np.float32)}; a batch axis is put before.
    outputs: names in order; where fn returns a dict, the keys to keep (default all).
    metadata: {key: text} to store in the model.

    Raises ConfigError for a primitive that has no ONNX form here, a dependence on the batch size
    other than in shapes, names that do not fit, and where the package onnx is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError("ONNX models need the package onnx: pip install 'dtgan[onnx]'") from error
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ConfigError(f"opset={opset} must be one of {OLDEST_OPSET} to {newest}")
    if not inputs:
        raise ConfigError("inputs is empty: the batch size is that of an input")

    (closed, names), (twin, _) = (trace(fn, inputs, outputs, size) for size in BATCHES)
    every = [*inputs, *names]
    if clash := [name for name in every if every.count(name) > 1]:
        raise ConfigError(f"{clash[0]!r} names two inputs or outputs; rename one of them")
    graph = Graph(opset, next(iter(inputs)))
    arguments = [
        Tensor(shape := dims(a, b), shape, a.dtype, name)
        for name, a, b in zip(inputs, closed.in_avals, twin.in_avals, strict=True)
    ]
    constants = list(map(constant, map(equal, closed.consts, twin.consts)))
    used = [True] * len(names)
    results = convert(graph, closed.jaxpr, twin.jaxpr, constants + arguments, used)
    for name, result in zip(names, results, strict=True):
        # A value may be several outputs, or an input: the node gives it a name of its own.
        graph.nodes.append(Node("Identity", (graph.name(graph.full(result)),), (name,), {}))
    results = [dataclasses.replace(r, value=name) for r, name in zip(results, names, strict=True)]
    return serialise(graph, arguments, results, metadata or {})


def convert(graph, jaxpr, twin, arguments, used):
    """Append the nodes of a jaxpr, traced at both batch sizes -> the Tensors of its results.

    used: bool for each result, whether it is needed; the others are None.
    """
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), arguments, strict=True))

    def read(atom, other):
        if isinstance(atom, core.Literal):
            value = equal(atom.val, getattr(other, "val", None))
            return constant(np.asarray(value, atom.aval.dtype))
        if 0 in atom.aval.shape:
            return constant(np.zeros(atom.aval.shape, atom.aval.dtype))
        return known.get(atom)

    steps, twins = needed(jaxpr, used), needed(twin, used)
    if [eqn.primitive for eqn, _ in steps] != [eqn.primitive for eqn, _ in twins]:
        raise ConfigError("the function takes other steps at another batch size; ONNX cannot")
    for (eqn, own), (other, _) in zip(steps, twins, strict=True):
        (inner, atoms), (inner2, atoms2) = called(eqn), called(other)
        tensors = tuple(map(read, atoms, atoms2))
        if inner is not None:
            # A ClosedJaxpr brings constants of its own; a Jaxpr has none.
            inner = inner, inner2
            constants = map(constant, map(equal, *(getattr(x, "consts", ()) for x in inner)))
            bodies = (getattr(x, "jaxpr", x) for x in inner)
            results = convert(graph, *bodies, (*constants, *tensors), own)
        else:
            shapes = [dims(a.aval, b.aval) for a, b in zip(eqn.outvars, other.outvars, strict=True)]
            results = apply(graph, eqn, same(eqn.params, other.params), shapes, tensors)
        known |= zip(eqn.outvars, results, strict=True)
    return list(map(read, jaxpr.outvars, twin.outvars))


def apply(graph, eqn, params, shapes, tensors):
    """Apply one primitive to Tensors -> its results; they are constants if all inputs are.

    params: those of `eqn`, with Batch where they vary; shapes: of the results.
    """
    name, types = eqn.primitive.name, [v.aval.dtype for v in eqn.outvars]
    fixed = all(x.constant for x in tensors)
    helds = shapes
    if name == "broadcast_in_dim":
        return [broadcast(graph, tensors[0], shapes[0], params["broadcast_dimensions"])]
    if name in ops.ELEMENTWISE:
        helds = [broadcast_shapes(*(x.held for x in tensors))]
        if fixed:
            values = eqn.primitive.bind(
                *np.broadcast_arrays(*(x.value for x in tensors)), **eqn.params
            )
        else:
            values = ops.ELEMENTWISE[name](graph, params, *tensors)
    elif fixed and not any(map(free, (*shapes, *(x.shape for x in tensors)))):
        values = eqn.primitive.bind(*(x.array() for x in tensors), **eqn.params)
    elif name in ops.STRUCTURAL:
        out = [Tensor(shape, shape, dtype, "") for shape, dtype in zip(shapes, types, strict=True)]
        values = ops.STRUCTURAL[name](graph, params, out, *map(graph.full, tensors))
    else:
        ops.refuse(name)
    values = values if isinstance(values, (tuple, list)) else [values]
    return list(map(Tensor, shapes, helds, types, values))


def constant(array):
    """Make the Tensor of an array that depends on no input, in the array's shape and type."""
    return Tensor(array.shape, array.shape, array.dtype, array)


def broadcast(graph, x, shape, axes):
    """Mark a Tensor as to be broadcast to `shape`, its axes at `axes`; new axes are held as 1."""
    held = [1] * len(shape)
    for axis, size in zip(axes, x.held, strict=True):
        held[axis] = size
    new = [axis for axis in range(len(shape)) if axis not in axes]
    if x.constant:
        value = np.reshape(x.value, held)
    else:
        value = x.value
        for axis in new:  # one by one, as every runtime can
            value = graph.add("Unsqueeze", value, [axis])
    return Tensor(shape, tuple(held), x.dtype, value)


def broadcast_shapes(*shapes):
    """Broadcast shapes as NumPy does, with Batch; ranks are equal or 0."""
    rank = max(map(len, shapes))
    sizes = zip(*(shape for shape in shapes if len(shape) == rank), strict=True)
    return tuple(next((d for d in size if d != 1), 1) for size in sizes)


def serialise(graph, inputs, outputs, metadata):
    """Serialise the ONNX model of a graph -> bytes."""
    from onnx import helper, numpy_helper

    def kind(dtype):
        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def declared(tensors):
        for x in tensors:
            shape = [d if isinstance(d, int) else str(d) for d in x.shape]
            yield helper.make_tensor_value_info(x.value, kind(x.dtype), shape)

    nodes = [
        helper.make_node(
            node.op,
            node.inputs,
            node.outputs,
            **{k: kind(v) if isinstance(v, np.dtype) else v for k, v in node.attributes.items()},
        )
        for node in graph.nodes
    ]
    stored = [numpy_helper.from_array(a, k) for k, a in graph.constants.items()]
    body = helper.make_graph(nodes, "dtgan", declared(inputs), declared(outputs), stored)
    opsets = [helper.make_opsetid("", graph.opset)]
    # The oldest format that has these operators: runtimes lag behind the newest.
    version = helper.find_min_ir_version_for(opsets)
    model = helper.make_model(body, opset_imports=opsets, ir_version=version, producer_name="dtgan")
    helper.set_model_props(model, metadata)
    return model.SerializeToString()
