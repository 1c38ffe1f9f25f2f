"""Convolutions of NHWC images with HWIO kernels, written so that their gradients are fast, too.

What each form gains, and what was tried and left out: benchmarks/NOTES.md.
"""

import functools

import jax
import jax.numpy as jnp


@jax.custom_vjp
def materialise(x):
    """x, and its gradient, as they are in memory: on CPU nothing before fuses with what follows.

    XLA:CPU computes the producer of a weight gradient's operand again inside the transposed copy
    which that gradient reads, pixel by pixel across the batch. Takes effect where the barrier
    outlives the compiler's expansion of it (launch/run.sh); other backends never see one.
    """
    barrier = jax.lax.optimization_barrier
    return jax.lax.platform_dependent(x, cpu=barrier, default=lambda x: x)


materialise.defvjp(lambda x: (materialise(x), None), lambda _, g: (materialise(g),))


def conv(x, kernel, stride=1, pad=0):
    """Convolve x [N, H, W, I], zero-padded by `pad` on each side, with kernel [h, w, I, O]."""
    k, size = kernel.shape[0], (x.shape[1] + 2 * pad - kernel.shape[0]) // stride + 1
    if k > 1 and size <= 2:
        # Few output pixels: one product of matrices, 10 times faster to differentiate on CPU.
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        span = stride * (size - 1) + 1
        taps = [
            x[:, i : i + span : stride, j : j + span : stride] for i in range(k) for j in range(k)
        ]
        return jnp.concatenate(taps, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
    if k == 1 and stride == 1 and not pad:
        # A product of matrices, with its gradients 1.5 times faster on CPU.
        return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], -1)
    if stride == 1:
        return conv_flat(x, kernel, pad)
    if k == 3 and stride == 2 and not pad and x.shape[1] % 2 and x.shape[2] % 2:
        return conv_down(x, kernel)
    y = _conv(materialise(x), kernel, (stride, stride), ((pad, pad), (pad, pad)))
    return materialise(y)


def _conv(x, kernel, stride, pads, **dilation):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, stride, pads, dimension_numbers=layout, **dilation
    )


def _abreast(x, kernel, stride, pad):
    """The convolution, on CPU with few output channels as one for several neighbours of a row.

    XLA:CPU gathers a patch of x for each output pixel, at a cost that 8 channels share as well as
    32. A patch that is a pixel wider serves two outputs, by the kernel with zeros left and right.
    """
    width, channels = x.shape[2] + 2 * pad - kernel.shape[1] + stride, kernel.shape[3]
    fits = (n for n in (4, 2) if n * stride * channels <= 32 and width % (n * stride) == 0)
    count = next(fits, 1)

    def plain(x, kernel):
        return _conv(x, kernel, (stride, stride), ((pad, pad), (pad, pad)))

    def several(x, kernel):
        beside = [(stride * i, stride * (count - 1 - i)) for i in range(count)]
        wide = [jnp.pad(kernel, ((0, 0), zeros, (0, 0), (0, 0))) for zeros in beside]
        wide = jnp.concatenate(wide, axis=-1)
        y = _conv(x, wide, (stride, count * stride), ((pad, pad), (pad, pad)))
        return y.reshape(*y.shape[:2], -1, channels)

    if count == 1:
        return plain(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=several, default=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_flat(x, kernel, pad):
    """Convolution of stride 1, `conv`'s arguments; its input gradient is one of the same kind."""
    return materialise(_abreast(materialise(x), kernel, 1, pad))


@jax.custom_vjp
def conv_down(x, kernel):
    """3x3 convolution of stride 2: x [N, 2H + 1, 2W + 1, I], kernel [3, 3, I, O] -> [N, H, W, O].

    It and `conv_transpose` are each other's adjoints, and their gradients say so: what XLA:CPU
    makes of the input gradient, a convolution of a dilated image, takes twice as long.
    """
    return _abreast(materialise(x), kernel, 2, 0)


@jax.custom_vjp
def conv_transpose(x, kernel):
    """Transposed 3x3 convolution of stride 2: x [N, H, W, I], kernel [3, 3, I, O] -> 2H + 1.

    Along an axis an even output is w[0] x[i-1] + w[2] x[i], an odd one w[1] x[i]. Where XLA would
    lay zeros between the pixels of x, the four kinds of outputs are convolutions of their own.
    """

    def dilated(x, kernel):
        return _conv(x, kernel, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2))

    abreast = functools.partial(_interleaved, abreast=True)
    return jax.lax.platform_dependent(
        x, kernel, cpu=abreast, cuda=_interleaved, rocm=_interleaved, default=dilated
    )


def _interleaved(x, kernel, abreast=False):
    even, odd = (slice(0, 3, 2), (1, 1)), (slice(1, 2), (0, 0))  # taps and pads along an axis

    def row(taps, pad):
        pair = (_conv(x, kernel[taps, t], (1, 1), (pad, p)) for t, p in (even, odd))
        return _weave(*pair, axis=2)

    def row_abreast(taps, pad):
        # As in `_abreast`: both outputs of a pixel from one patch, kernels (w[0], w[2]), (0, w[1]).
        wide = jnp.concatenate(
            [kernel[taps, ::2], jnp.pad(kernel[taps, 1:2], ((0, 0), (1, 0), (0, 0), (0, 0)))], -1
        )
        y = _conv(x, wide, (1, 1), (pad, (1, 1)))
        return y.reshape(*y.shape[:2], -1, kernel.shape[3])[:, :, :-1]

    rows = row_abreast if abreast and kernel.shape[3] <= 16 else row
    return _weave(rows(*even), rows(*odd), axis=1)


def _weave(even, odd, axis):
    """The n + 1 even and n odd entries of an axis -> 2 n + 1."""
    n = odd.shape[axis]
    odd = jnp.pad(odd, [(0, a == axis) for a in range(odd.ndim)])
    both = jnp.stack([even, odd], axis + 1)
    both = both.reshape(*even.shape[:axis], 2 * n + 2, *even.shape[axis + 1 :])
    return jax.lax.slice_in_dim(both, 0, 2 * n + 1, axis=axis)


def _adjoint(kernel):
    """The kernel with which conv_down is the adjoint of conv_transpose, and the reverse."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _kernel_gradient(x, kernel, g, stride=2, pad=0):
    """Of a convolution of x with kernel, where g is the gradient of its output."""
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
