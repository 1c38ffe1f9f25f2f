"""Pins parameter counts, shapes and start values of DT-GAN's networks, and what z_s = 0 means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan.models.discriminators import (
    MultiTaskDiscriminator,
    PairHead,
    PatchDiscriminator,
    select,
)
from dtgan.models.dtgan import Encoder, Generator, fourier_map

# res, ch -> E, G, D (7 heads), Dpatch, for 3 channels
COUNTS = {
    (256, 32): (32_935_432, 30_823_195, 26_322_439, 18_120_065),
    (256, 16): (8_236_808, 7_715_227, 6_583_047, 4_531_905),
    (128, 32): (8_222_472, 19_409_689, 26_093_063, 15_317_633),
    (128, 16): (2_057_096, 4_859_289, 6_525_703, 3_831_105),
    (64, 16): (511_432, 2_939_287, 6_296_327, 3_007_425),
}


def count(module, *shapes):
    tree = jax.eval_shape(module.init, jax.random.key(0), *map(jnp.zeros, shapes))
    return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(("res", "ch"), COUNTS)
def test_parameter_counts(res, ch):
    image, z_t, side, width = (1, res, res, 3), (1, ch * res // 4), res // 4, 12 * ch
    counts = (
        count(Encoder(ch), image),
        count(Generator(res, ch, 3), (1, 16, 16, 8), z_t),
        count(MultiTaskDiscriminator(7, 512 * ch, 16 * ch), image),
        count(PatchDiscriminator(ch), (1, 1, side, side, 3))
        + count(PairHead(ch), (1, 1, width), (1, 4, width)),
    )
    assert counts == COUNTS[res, ch]


def test_counts_of_the_parts():
    tree = jax.eval_shape(Encoder(32).init, jax.random.key(0), jnp.zeros((1, 256, 256, 3)))
    parts = {name: sum(x.size for x in jax.tree.leaves(p)) for name, p in tree["params"].items()}
    stem = sum(n for k, n in parts.items() if k.startswith(("stem", "down")))
    structure = sum(n for k, n in parts.items() if k.startswith("structure"))
    texture = sum(n for k, n in parts.items() if k.startswith("texture"))
    assert (stem, structure, texture) == (4_876_288, 266_760, 27_792_384)
    assert count(MultiTaskDiscriminator(1, 16384, 512), (1, 256, 256, 3)) == 26_319_361


@pytest.mark.parametrize(("res", "channels"), [(32, 1), (64, 3), (128, 1)])
def test_shapes(res, channels):
    ch, key = 2, jax.random.key(0)
    image = jnp.zeros((3, res, res, channels))
    encoder, generator = Encoder(ch), Generator(res, ch, channels)

    def both(key, image):
        z_s, z_t = encoder.apply(encoder.init(key, image), image)
        params = generator.init(key, z_s, z_t)
        return z_s, z_t, generator.apply(params, z_s, z_t, generator.draw_noise(key, 3))

    z_s, z_t, out = jax.eval_shape(both, key, image)
    assert z_s.shape == (3, 16, 16, 8) and z_t.shape == (3, ch * res // 4)
    assert out.shape == image.shape and out.dtype == jnp.float32


def test_patch_features_are_one_pixel():
    net, side = PatchDiscriminator(32), 64
    crops = jnp.zeros((1, 2, side, side, 3)), jnp.zeros((1, 8, side, side, 3))

    def features(key):
        return net.apply(net.init(key, *crops), *crops)

    ours, references = jax.eval_shape(features, jax.random.key(0))
    assert ours.shape == (1, 2, 384) and references.shape == (1, 8, 384)


@pytest.fixture(scope="module")
def centre_std():
    """Spatial standard deviation of G(0, z_t)'s central 32x32 px at the start, without noise."""

    def measure(anchor_input):
        net, key = Generator(256, 4, 1, anchor_input), jax.random.key(1)
        z_t = jax.random.normal(jax.random.key(2), (2, 256)) * 0.5
        zero = jnp.zeros((2, 16, 16, 8))
        params = jax.jit(net.init)(key, zero, z_t)
        out = np.asarray(jax.jit(net.apply)(params, zero, z_t))[:, 112:144, 112:144, 0]
        return out.std(axis=(1, 2)).max()

    return measure


def test_zero_code_leaves_the_centre_constant(centre_std):
    assert centre_std("zero") < 1e-3


@pytest.mark.parametrize("anchor_input", ["learned", "fourier"])
def test_an_anchor_input_gives_the_zero_code_space(centre_std, anchor_input):
    assert centre_std(anchor_input) > 1e-2


def test_fourier_map_tells_positions_apart_and_has_unit_variance():
    m = np.asarray(fourier_map()).reshape(256, 8)
    assert abs(float(np.mean(m**2)) - 1) < 1e-5
    distance = np.linalg.norm(m[:, None] - m[None], axis=-1) + 10 * np.eye(256)
    assert distance.min() > 0.3


def test_start_statistics():
    """Orders of magnitude with the base's skip gain: z_s 0.1-0.6, z_t 0.3-0.6, G 0.015-0.15."""
    key = jax.random.key(0)
    image = jax.random.uniform(key, (2, 64, 64, 3), minval=-1, maxval=1)
    encoder, generator = Encoder(16), Generator(64, 16, 3, skip_gain=1.0)
    z_s, z_t = jax.jit(encoder.apply)(jax.jit(encoder.init)(key, image), image)
    out = jax.jit(generator.apply)(jax.jit(generator.init)(key, z_s, z_t), z_s, z_t)
    assert 0.05 < float(z_s.std()) < 1.2
    assert 0.15 < float(jnp.sqrt(jnp.mean(z_t**2))) < 1.2
    assert 0.007 < float(out.std()) < 0.3


def test_noise_maps_match_the_blocks_and_start_without_effect():
    net, key = Generator(32, 2), jax.random.key(0)
    z_s, z_t = jnp.ones((2, 16, 16, 8)), jnp.ones((2, 16))
    params, draw = jax.jit(net.init)(key, z_s, z_t), jax.jit(net.apply)
    noise = net.draw_noise(key, 2)
    assert [n[0].shape[1] for n in noise] == [16, 16, 16, 16, 32]
    plain, noisy = draw(params, z_s, z_t), draw(params, z_s, z_t, noise)
    np.testing.assert_array_equal(plain, noisy)
    params = jax.tree.map(lambda x: x + 0.1 if x.shape == () else x, params)
    assert float(jnp.abs(draw(params, z_s, z_t, noise) - plain).max()) > 1e-2


def test_selected_logit():
    logits = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(select(logits, jnp.array([2, 0])), [2, 3])


def test_encoder_and_generator_as_onnx():
    """With the first block's noise as inputs, and that of the others one for all rows."""
    onnx = pytest.importorskip("tests.exporting.test_onnx")
    encoder, generator = Encoder(2), Generator(32, 2, anchor_input="learned")
    p = onnx.drawn(encoder, (32, 32, 1)), onnx.drawn(generator, (16, 16, 8), (16,))
    others = generator.draw_noise(jax.random.key(0), 1)[1:]

    def fn(image, *first):
        z = encoder.apply(p[0], image)
        return (*z, generator.apply(p[1], *z, [first, *others]))

    names = "image", "noise0a", "noise0b"
    shapes = (32, 32, 1), (16, 16, 1), (16, 16, 1)
    inputs = {name: (shape, np.float32) for name, shape in zip(names, shapes, strict=True)}
    onnx.check(fn, inputs, ["z_s", "z_t", "drawn"])
