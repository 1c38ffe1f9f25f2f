"""Convolutions of NHWC images with HWIO kernels, written so that their gradients are fast, too.

What each form gains, and what was tried and left out: benchmarks/NOTES.md.
"""

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
    if k == 3 and stride == 2 and not pad and x.shape[1] % 2 and x.shape[2] % 2:
        return conv_down(x, kernel)
    y = _conv(materialise(x), kernel, (stride, stride), ((pad, pad), (pad, pad)))
    return materialise(y)


def _conv(x, kernel, stride, pads, **dilation):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, stride, pads, dimension_numbers=layout, **dilation
    )


@jax.custom_vjp
def conv_down(x, kernel):
    """3x3 convolution of stride 2: x [N, 2H + 1, 2W + 1, I], kernel [3, 3, I, O] -> [N, H, W, O].

    It and `conv_transpose` are each other's adjoints, and their gradients say so: what XLA:CPU
    makes of the input gradient, a convolution of a dilated image, takes twice as long.
    """
    return _conv(materialise(x), kernel, (2, 2), "VALID")


@jax.custom_vjp
def conv_transpose(x, kernel):
    """Transposed 3x3 convolution of stride 2: x [N, H, W, I], kernel [3, 3, I, O] -> 2H + 1.

    Along an axis an even output is w[0] x[i-1] + w[2] x[i], an odd one w[1] x[i]. Where XLA would
    lay zeros between the pixels of x, the four kinds of outputs are convolutions of their own.
    """

    def dilated(x, kernel):
        return _conv(x, kernel, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2))

    return jax.lax.platform_dependent(
        x, kernel, cpu=_interleaved, cuda=_interleaved, rocm=_interleaved, default=dilated
    )


def _interleaved(x, kernel):
    even, odd = (slice(0, 3, 2), (1, 1)), (slice(1, 2), (0, 0))  # taps and pads along an axis

    def row(taps, pad):
        pair = (_conv(x, kernel[taps, t], (1, 1), (pad, p)) for t, p in (even, odd))
        return _weave(*pair, axis=2)

    return _weave(row(*even), row(*odd), axis=1)


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


def _kernel_gradient(x, kernel, g):
    """Of conv_down(x, kernel) with the gradient g of its output."""
    x, g = materialise(x), materialise(g)
    (gradient,) = jax.linear_transpose(lambda k: _conv(x, k, (2, 2), "VALID"), kernel)(g)
    return gradient


def _down_gradients(inputs, g):
    x, kernel = inputs
    return conv_transpose(g, _adjoint(kernel)), _kernel_gradient(x, kernel, g)


def _up_gradients(inputs, g):
    x, kernel = inputs
    adjoint = _adjoint(kernel)
    return conv_down(g, adjoint), _adjoint(_kernel_gradient(g, adjoint, x))


conv_down.defvjp(lambda x, kernel: (conv_down(x, kernel), (x, kernel)), _down_gradients)
conv_transpose.defvjp(lambda x, kernel: (conv_transpose(x, kernel), (x, kernel)), _up_gradients)
