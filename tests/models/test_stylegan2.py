"""Pins StyleGAN2's networks, losses and gradients against numbers of the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan import losses
from dtgan.models.stylegan2 import (
    Discriminator,
    Generator,
    auto_base,
    draw_cutoff,
    draw_noise,
    mix,
    repeat_slots,
    sides,
    truncate,
)
from dtgan.nn.layers import minibatch_deviation
from tests import goldens, stylegan2

STORED = goldens.values("sg2_net")
KEY = jax.random.key(0)


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def sizes(net, *inputs):
    return jax.eval_shape(net.init, KEY, *inputs)["params"]


@pytest.mark.parametrize(
    ("res", "g", "d"),
    [(64, 22_243_608, 23_407_361), (128, 22_949_277, 23_882_369), (256, 23_191_522, 24_001_089)],
)
def test_parameter_counts_of_auto(res, g, d):
    z, image = jnp.zeros((2, 512)), jnp.zeros((2, res, res, 3))
    base = auto_base(res)
    assert count(sizes(Generator(res, 3, base), z)) == g
    assert count(sizes(Discriminator(base), image)) == d


def test_parameter_counts_of_other_settings():
    z, image = jnp.zeros((2, 512)), jnp.zeros((2, 256, 256, 3))
    assert count(sizes(Generator(256, 3, 16384, layers=8), z)) == 24_767_458
    assert count(sizes(Generator(256, 3, 32768, layers=8), z)) == 30_034_338
    assert count(sizes(Generator(256, 3, 32768), z)) == 28_458_402
    assert count(sizes(Discriminator(32768), image)) == 28_864_129
    g = sizes(Generator(256, 3, 16384), z)
    assert count(g["mapping"]) == 525_312
    assert [count(g["synthesis"]["b8"]), count(g["synthesis"]["b256"])] == [5_244_930, 209_218]
    assert auto_base(512) == 2 * auto_base(256) == 32768


def test_labels_enter_where_there_are_several_classes():
    z, image, label = jnp.ones((3, 8)), jnp.ones((3, 8, 8, 1)), jnp.array([0, 1, 1])
    g, d = Generator(8, 1, 32, latent=8, num_classes=2), Discriminator(32, num_classes=2)
    parts = sizes(g, z, label)["mapping"]
    assert parts["embed"]["kernel"].shape == (2, 8) and parts["fc0"]["kernel"].shape == (16, 8)
    for net, inputs in ((g, (z, label)), (d, (image, label))):
        out = jax.jit(lambda *a, net=net: net.apply(net.init(KEY, *a), *a))(*inputs)
        assert np.abs(np.asarray(out[0] - out[1])).max() > 1e-3
        assert np.abs(np.asarray(out[1] - out[2])).max() < 1e-5


def test_noise_and_cutoffs_that_are_drawn():
    maps = draw_noise(KEY, 3, sides(16))
    shapes = [[m.shape for m in pair] for pair in maps]
    assert shapes == [[(3, s, s, 1)] * (1 if s == 4 else 2) for s in (4, 8, 16)]
    assert len({float(m[0, 0, 0, 0]) for pair in maps for m in pair}) == 5
    keys = jax.random.split(KEY, 2000)
    cutoffs = np.asarray(jax.jit(jax.vmap(lambda key: draw_cutoff(key, 8, 0.9)))(keys))
    chances = np.bincount(cutoffs, minlength=9) / 2000
    np.testing.assert_allclose(chances, [0, *[0.9 / 7] * 7, 0.1], atol=0.03)


def test_bfloat16_stays_near_float32():
    z, image = jax.random.normal(KEY, (2, 8)), jax.random.normal(KEY, (2, 8, 8, 1))
    for make, x in (
        (lambda dtype: Generator(8, 1, 64, latent=8, dtype=dtype), z),
        (lambda dtype: Discriminator(64, dtype=dtype), image),
    ):
        params = jax.jit(make(jnp.float32).init)(KEY, x)
        a, b = (jax.jit(make(dtype).apply)(params, x) for dtype in (jnp.float32, jnp.bfloat16))
        assert a.dtype == b.dtype == jnp.float32
        assert 0 < np.abs(np.asarray(a - b)).max() < 0.05 * np.abs(a).max()


class Golden:
    """The networks of the golden numbers: 32 px, 32 channels at most."""

    def __init__(self, dtype, clamp=256.0):
        self.tolerance = {"float32": 2e-5, "float64": 1e-10}[dtype]
        self.G = Generator(32, 3, 512, 32, 16, clamp=clamp, dtype=dtype)
        self.D = Discriminator(512, 32, clamp=clamp, dtype=dtype)
        self.z = jnp.asarray(goldens.drawn("sg2/z", (8, 16)), dtype)
        self.real = stylegan2.images("sg2/real", (8, 3, 32, 32), 0.5, dtype)
        self.g = stylegan2.filled(sizes(self.G, self.z), "sg2.G", 32, dtype)
        self.d = stylegan2.filled(sizes(self.D, self.real), "sg2.D", 32, dtype)
        self.noise = stylegan2.noise("sg2.G", sides(32), dtype)

    def ws(self, g, z):
        return repeat_slots(self.G.apply({"params": g}, z, method="style"), self.G.slots)

    def draw(self, g, ws, noise=True, **options):
        noise = jax.tree.map(lambda x: x * noise, self.noise)
        return self.G.apply({"params": g}, ws, noise, method="draw", **options)

    def judge(self, d, image, **options):
        return self.D.apply({"params": d}, image, **options)

    def check(self, found, name):
        found = jnp.asarray(found)
        found = found.transpose(0, 3, 1, 2) if found.ndim == 4 else found
        goldens.assert_golden(found, STORED, name, self.tolerance)

    def check_gradients(self, gradients, step, names):
        flat = stylegan2.check_norms(gradients, 32, STORED, step, STORED[names], self.tolerance)
        known = {key.removeprefix(f"{step}.grad.") for key in STORED if f"{step}.grad." in key}
        assert known
        for name in {key.removesuffix(".samp").removesuffix(".stat") for key in known}:
            goldens.assert_golden(flat[name], STORED, f"{step}.grad.{name}", self.tolerance)


golden = stylegan2.in_both_precisions(Golden)


def test_generator(golden):
    ws = jax.jit(golden.ws)(golden.g, golden.z[:4])
    golden.check(ws[:, 0], "map.w")
    assert [count(golden.g), count(golden.d), ws.shape[1]] == STORED["count"].tolist()
    mean = jnp.asarray(np.float32(0.1) * goldens.drawn("sg2.G/mapping.w_avg", (16,)), ws.dtype)
    short = truncate(ws, mean[None], 0.7, 3)
    golden.check(short[:, 0], "map.trunc.first")
    golden.check(short[:, -1], "map.trunc.last")
    golden.check(mean + 0.005 * (jnp.mean(ws[:, 0], axis=0) - mean), "map.w_avg_after")

    @jax.jit
    def draw(ws, noise):
        return golden.draw(golden.g, ws, noise, mutable="intermediates")

    image, sown = draw(ws, 1.0)
    golden.check(image, "G.img")
    for side in (4, 8, 16, 32):
        x, rgb = sown["intermediates"]["synthesis"][f"side{side}"][0]
        golden.check(x[:2], f"G.b{side}.x")
        golden.check(rgb[:2], f"G.b{side}.rgb")
    golden.check(draw(ws, 0.0)[0], "G.img_nonoise")
    mixed = mix(ws[:2], ws[2:], 3)
    golden.check(draw(jnp.concatenate([mixed, mixed]), 1.0)[0][:2], "G.img_mix")
    golden.check(draw(truncate(ws, mean[None], 0.7), 1.0)[0], "G.img_trunc")


def test_discriminator(golden):
    judge = jax.jit(lambda x: golden.judge(golden.d, x, capture_intermediates=True))
    logits, seen = judge(golden.real)
    golden.check(logits, "D.logits8")
    for side in (32, 16, 8):
        golden.check(seen["intermediates"][f"b{side}"]["__call__"][0], f"D.b{side}.x")
    deviation = minibatch_deviation(seen["intermediates"]["b8"]["__call__"][0])[:, 0, 0, -1]
    golden.check(deviation, "D.mbstd")
    for n in (4, 2):
        golden.check(jax.jit(golden.judge)(golden.d, golden.real[:n]), f"D.logits{n}")


@stylegan2.EXACTLY
def test_clamps(golden):
    tight = Golden(golden.real.dtype.name, clamp=0.8)
    ws = jax.jit(tight.ws)(tight.g, tight.z[:4])
    tight.check(jax.jit(tight.draw)(tight.g, ws), "G.img_clamp")
    tight.check(jax.jit(tight.judge)(tight.d, tight.real), "D.logits8_clamp")


def test_adversarial_losses_and_gradients(golden):
    def generator_loss(g):
        fake = golden.draw(g, golden.ws(g, golden.z))
        terms = losses.adversarial_g(golden.judge(golden.d, fake))
        return jnp.mean(terms), (terms, fake)

    gradients, (terms, fake) = jax.jit(jax.grad(generator_loss, has_aux=True))(golden.g)
    golden.check(terms, "Gmain.loss")
    golden.check_gradients(gradients, "Gmain", "G.names")

    def discriminator_loss(d):
        logits = golden.judge(d, fake), golden.judge(d, golden.real)
        return losses.adversarial_d(logits[1], logits[0]), logits

    (total, logits), gradients = jax.jit(jax.value_and_grad(discriminator_loss, has_aux=True))(
        golden.d
    )
    golden.check(logits[0], "Dmain.fake")
    assert abs(total - STORED["Dmain.loss"].mean()) < golden.tolerance * total
    golden.check_gradients(gradients, "Dmain", "D.names")
    golden.check(jax.jit(golden.judge)(golden.d, fake[:4]), "D.logits_fake4")


@stylegan2.EXACTLY
def test_gradient_penalty(golden):
    def loss(d):
        return 16 * 0.1024 * losses.r1(lambda x: golden.judge(d, x), golden.real)

    total, gradients = jax.jit(jax.value_and_grad(loss))(golden.d)
    expected = 16 * STORED["Dreg.loss"].mean()
    assert abs(total - expected) < golden.tolerance * expected
    golden.check_gradients(gradients, "Dreg", "D.names")


def test_path_length(golden):
    def loss(g, y, mean):
        ws = golden.ws(g, golden.z[:4])
        penalty, mean = losses.path_length(lambda ws: golden.draw(g, ws), ws, y, mean)
        return 4 * 2 * penalty, mean

    step, mean = jax.jit(jax.value_and_grad(loss, has_aux=True)), jnp.zeros((), golden.z.dtype)
    for k in (0, 1):
        y = stylegan2.images(f"sg2/y{k}", (4, 3, 32, 32), 1, golden.z.dtype) / 32
        (total, mean), gradients = step(golden.g, y, mean)
        expected = 4 * STORED[f"Greg{k}.loss"].mean()
        assert abs(total - expected) < golden.tolerance * expected
        golden.check(mean, f"Greg{k}.pl_mean")
        golden.check_gradients(gradients, f"Greg{k}", "G.names")
