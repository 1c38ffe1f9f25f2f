"""Convolutions of NHWC images with HWIO kernels, written so that their gradients are fast, too.

Measured gains of each form, and forms that were tried and left out: benchmarks/NOTES.md.
"""

import functools

import jax
import jax.numpy as jnp

from dtgan.nn.platforms import by_platform


def materialise(x):
    """Keep XLA:CPU from fusing the producer of x into its consumers; an identity, both ways.

    An optimization barrier for x and, as its derivative, for its gradient. Without it the producer
    of a weight gradient's operand is computed again inside the transposed copy that the gradient
    reads, pixel by pixel across the batch. It takes effect where the barrier outlives the
    compiler's expansion of it (launch/run.sh); on other backends this is a plain identity.
    """
    return by_platform(x, cpu=jax.lax.optimization_barrier, default=lambda x: x)


def conv(x, kernel, stride=1, pad=0):
    """Convolve x [N, H, W, I], zero-padded by `pad` on each side, with kernel [h, w, I, O]."""
    k = kernel.shape[0]
    sizes = [(side + 2 * pad - k) // stride + 1 for side in x.shape[1:3]]
    if k > 1 and max(sizes) <= 2:
        # Few output pixels: one product of matrices, 10 times faster to differentiate on CPU.
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        h, w = (stride * (size - 1) + 1 for size in sizes)
        taps = [x[:, i : i + h : stride, j : j + w : stride] for i in range(k) for j in range(k)]
        return jnp.concatenate(taps, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
    if k == 1 and stride == 1 and not pad:
        return _conv_pixels(x, kernel[0, 0])
    if stride == 1:
        return conv_flat(x, kernel, pad)
    if k == 3 and stride == 2 and not pad and x.shape[1] % 2 and x.shape[2] % 2:
        return conv_down(x, kernel)
    if (k, stride, pad) == (4, 2, 1) and not (x.shape[1] % 2 or x.shape[2] % 2):
        return conv_halve(x, kernel)
    y = _conv(materialise(x), kernel, (stride, stride), ((pad, pad), (pad, pad)))
    return materialise(y)


def _conv_pixels(x, kernel):
    """Convolve x [N, H, W, I] with a kernel of one pixel, [I, O]."""
    if x.shape[-1] == 1:
        return by_platform(x, kernel, tpu=outer, default=product)
    return product(x, kernel)


def product(x, kernel):
    """Map channels by a product of matrices: its gradients are 1.5 times faster on CPU."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


def outer(x, kernel):
    """Map one channel: for the product's gradient a TPU would transpose a copy of all pixels."""
    return x * kernel[None, None]


def _conv(x, kernel, stride, pads, **dilation):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, stride, pads, dimension_numbers=layout, **dilation
    )


def _conv_neighbours(x, kernel, stride, pad):
    """Convolve x with kernel, on CPU several neighbouring outputs of a row at once.

    With at most 16 output channels (8 at stride 2) 2 or 4 neighbouring output pixels are computed
    as extra output channels of one wider, zero-padded kernel. XLA:CPU gathers a patch of x for
    each output pixel, at a cost that 32 channels share as well as 8.
    """
    width, channels = x.shape[2] + 2 * pad - kernel.shape[1] + stride, kernel.shape[3]
    fits = (n for n in (4, 2) if n * stride * channels <= 32 and width % (n * stride) == 0)
    count = next(fits, 1)

    def plain(x, kernel):
        return _conv(x, kernel, (stride, stride), ((pad, pad), (pad, pad)))

    def several(x, kernel):
        sides = [(stride * i, stride * (count - 1 - i)) for i in range(count)]  # zeros left, right
        wide = [jnp.pad(kernel, ((0, 0), zeros, (0, 0), (0, 0))) for zeros in sides]
        wide = jnp.concatenate(wide, axis=-1)
        y = _conv(x, wide, (stride, count * stride), ((pad, pad), (pad, pad)))
        return y.reshape(*y.shape[:2], -1, channels)

    if count == 1:
        return plain(x, kernel)
    return by_platform(x, kernel, cpu=several, default=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_flat(x, kernel, pad):
    """Convolve with stride 1; arguments as in `conv`. Its input gradient is of the same kind."""
    return materialise(_conv_neighbours(materialise(x), kernel, 1, pad))


@jax.custom_vjp
def conv_down(x, kernel):
    """Convolve with stride 2: x [N, 2H + 1, 2W + 1, I], kernel [3, 3, I, O] -> [N, H, W, O].

    It and `conv_transpose` are each other's adjoints, and their gradients use that: XLA:CPU's own
    input gradient, a convolution of a dilated image, takes twice as long.
    """
    return _conv_neighbours(materialise(x), kernel, 2, 0)


@jax.custom_vjp
def conv_transpose(x, kernel):
    """Transpose `conv_down`: x [N, H, W, I], kernel [3, 3, I, O] -> [N, 2H + 1, 2W + 1, O].

    Along an axis an even output is w[0] x[i-1] + w[2] x[i], an odd one w[1] x[i]. On CPU and GPU
    each of the four kinds of outputs (even or odd row, even or odd column) is a convolution of its
    own, and they are interleaved; elsewhere XLA lays zeros between the pixels of x.
    """

    def dilated(x, kernel):
        return _conv(x, kernel, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2))

    neighbours = functools.partial(_interleaved, neighbours=True)
    return by_platform(
        x, kernel, cpu=neighbours, cuda=_interleaved, rocm=_interleaved, default=dilated
    )


def _interleaved(x, kernel, neighbours=False):
    """Compute `conv_transpose` by interleaved convolutions.

    neighbours: with at most 16 output channels, compute the two outputs of a pixel of a row at
    once, as `_conv_neighbours` does.
    """
    even, odd = (slice(0, 3, 2), (1, 1)), (slice(1, 2), (0, 0))  # taps and pads along an axis

    def row(taps, pad):
        pair = (_conv(x, kernel[taps, t], (1, 1), (pad, p)) for t, p in (even, odd))
        return _weave(*pair, axis=2)

    def row_neighbours(taps, pad):
        # Both outputs of a pixel from one patch, by the kernels (w[0], w[2]) and (0, w[1]).
        wide = jnp.concatenate(
            [kernel[taps, ::2], jnp.pad(kernel[taps, 1:2], ((0, 0), (1, 0), (0, 0), (0, 0)))], -1
        )
        y = _conv(x, wide, (1, 1), (pad, (1, 1)))
        return y.reshape(*y.shape[:2], -1, kernel.shape[3])[:, :, :-1]

    rows = row_neighbours if neighbours and kernel.shape[3] <= 16 else row
    return _weave(rows(*even), rows(*odd), axis=1)


def _weave(even, odd, axis):
    """Interleave the n + 1 even and n odd entries of an axis -> 2 n + 1."""
    n = odd.shape[axis]
    odd = jnp.pad(odd, [(0, a == axis) for a in range(odd.ndim)])
    both = jnp.stack([even, odd], axis + 1)
    both = both.reshape(*even.shape[:axis], 2 * n + 2, *even.shape[axis + 1 :])
    return jax.lax.slice_in_dim(both, 0, 2 * n + 1, axis=axis)


def conv_halve(x, kernel):
    """Convolve with stride 2, zero-padded by 1: [N, 2H, 2W, I], [4, 4, I, O] -> [N, H, W, O].

    On CPU as a 2x2 convolution of stride 1 over 2x2 pixels folded into the channels, whose
    gradients of every order are convolutions of that kind; benchmarks/penalty.py compares.
    """

    def folded(x, kernel):
        i, o = kernel.shape[2:]
        kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 1, 3, 4, 5)
        x = fold(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
        return conv(x, kernel.reshape(2, 2, 4 * i, o))

    def strided(x, kernel):
        return _conv(x, kernel, (2, 2), ((1, 1), (1, 1)))

    return by_platform(x, kernel, cpu=folded, default=strided)


def conv_double(x, kernel):
    """Transpose a 4x4 convolution of stride 2: [N, H, W, I], [4, 4, I, O] -> [N, 2H, 2W, O].

    Pixel (2i + u - 1, 2j + v - 1) of the result gets x[i, j] kernel[u, v], as in PyTorch with
    padding 1. On CPU a 2x2 convolution that makes 2x2 pixels as channels, see `conv_halve`.
    """

    def folded(x, kernel):
        i, o = kernel.shape[2:]
        kernel = kernel.reshape(2, 2, 2, 2, i, o)[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
        y = unfold(conv(x, kernel.reshape(2, 2, i, 4 * o), pad=1))
        return y[:, 1:-1, 1:-1]

    def dilated(x, kernel):
        pads = ((2, 2), (2, 2))
        return _conv(x, kernel[::-1, ::-1], (1, 1), pads, lhs_dilation=(2, 2))

    return by_platform(x, kernel, cpu=folded, default=dilated)


def fold(x):
    """Fold 2x2 pixels into the channels: [N, 2H, 2W, C] -> [N, H, W, 4C]."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h // 2, w // 2, 4 * c)


def unfold(x):
    """Undo `fold`: [N, H, W, 4C] -> [N, 2H, 2W, C]."""
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * h, 2 * w, c // 4)


def _adjoint(kernel):
    """Return the kernel with which conv_down is the adjoint of conv_transpose, and the reverse."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _kernel_gradient(x, kernel, g, stride=2, pad=0):
    """Compute the kernel's gradient in a convolution of x, from the output's gradient g."""
    if g.shape[1] > x.shape[1]:
        # XLA swaps the operands of a convolution whose kernel is the larger one, and has then no
        # fast code on CPU for the reversed kernel: 20 times slower.
        x, pad = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))), 0
    x, g = materialise(x), materialise(g)

    def of_kernel(kernel):
        return _conv(x, kernel, (stride, stride), ((pad, pad), (pad, pad)))

    return jax.linear_transpose(of_kernel, kernel)(g)[0]


def _flat_gradients(pad, inputs, g):
    x, kernel = inputs
    over = kernel.shape[0] - 1 - pad
    return conv_flat(g, _adjoint(kernel), over), _kernel_gradient(x, kernel, g, 1, pad)


def _down_gradients(inputs, g):
    x, kernel = inputs
    return conv_transpose(g, _adjoint(kernel)), _kernel_gradient(x, kernel, g)


def _up_gradients(inputs, g):
    x, kernel = inputs
    adjoint = _adjoint(kernel)
    return conv_down(g, adjoint), _adjoint(_kernel_gradient(g, adjoint, x))


conv_flat.defvjp(lambda x, kernel, pad: (conv_flat(x, kernel, pad), (x, kernel)), _flat_gradients)
conv_down.defvjp(lambda x, kernel: (conv_down(x, kernel), (x, kernel)), _down_gradients)
conv_transpose.defvjp(lambda x, kernel: (conv_transpose(x, kernel), (x, kernel)), _up_gradients)
