"""Pins DFMGAN's networks, masks and gradients against numbers of the authors' code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import losses
from dtgan.models.dfmgan import DefectGenerator
from dtgan.models.stylegan2 import Discriminator, Generator, mix, repeat_slots, sides
from tests import goldens, stylegan2

STORED = goldens.values("dfmgan")
NAMES = STORED["G.names"].tolist()
KEY = jax.random.key(0)


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def sizes(net, *inputs):
    return jax.eval_shape(net.init, KEY, *inputs)["params"]


def test_parameter_counts():
    z, net = jnp.zeros((2, 512)), DefectGenerator(256, 3, 16384)
    g = sizes(net, z, z)
    assert count(g) == 26_861_225 and net.slots == 14 and net.defect_slots == 7
    new = [count(g[name]) for name in ("res64", "res128", "res256", "defect_mapping", "to_mask")]
    assert new == [2_295_555 - 131_585, 639_618, 209_218, 525_312, 131_585]
    assert sum(new) == 3_669_703
    backbone = sizes(Generator(256, 3, 16384), z)
    same = jax.tree.map(lambda a, b: a.shape == b.shape, backbone, {k: g[k] for k in backbone})
    assert all(jax.tree.leaves(same))
    judged = jnp.zeros((2, 256, 256, 4))
    for base, cap, number in (
        (4096, 128, 1_502_113),
        (8192, 256, 6_003_009),
        (16384, 512, 24_001_153),
    ):
        assert count(sizes(Discriminator(base, cap), judged)) == number


def test_masks_start_small():
    net, z = DefectGenerator(16, 1, 64, latent=8, first=8), jnp.ones((2, 8))
    params = jax.jit(net.init)(KEY, z, z)["params"]
    np.testing.assert_array_equal(params["to_mask"]["bias"], [-1.0])
    params = params | {"to_mask": params["to_mask"] | {"bias": jnp.array([-99.0])}}

    @jax.jit
    def draw(z):
        ws = repeat_slots(net.apply({"params": params}, z, method="style"), net.slots)
        return net.apply({"params": params}, z, z), net.apply({"params": params}, ws, method="draw")

    (image, mask), twin = draw(z)
    assert mask.shape == (2, 16, 16, 1) and np.all(mask < 0)
    np.testing.assert_allclose(image, twin, atol=2e-6)  # a defect of no pixels


class Golden:
    """The networks of the golden numbers: 64 px, masks from 16 px on."""

    def __init__(self, dtype):
        self.dtype, self.tolerance = dtype, {"float32": 2e-5, "float64": 1e-10}[dtype]
        self.G = DefectGenerator(64, 3, 512, 32, 16, first=16, dtype=dtype)
        self.critics = {
            "D": Discriminator(512, 32, dtype=dtype),
            "DM": Discriminator(256, 16, dtype=dtype),
        }
        z, z_d = (jnp.asarray(goldens.drawn(f"dfm/{k}", (8, 16)), dtype) for k in ("z", "zd"))
        real = stylegan2.images("dfm/real", (8, 3, 64, 64), 0.5, dtype)
        cells = np.where(goldens.drawn("dfm/rmask", (8, 1, 8, 8)) > 0.8, 1.0, -1.0)
        mask = jnp.asarray(cells.repeat(8, 2).repeat(8, 3).transpose(0, 2, 3, 1), dtype)
        self.z, self.z_d = z, z_d
        self.real = {"D": real, "DM": jnp.concatenate([real, mask], axis=-1)}
        self.g = stylegan2.filled(sizes(self.G, z, z_d), "dfm.G", 64, dtype)
        self.critic = {
            name: stylegan2.filled(sizes(net, self.real[name]), f"dfm.{name}", 64, dtype)
            for name, net in self.critics.items()
        }
        self.noise = stylegan2.noise("dfm.G", sides(64), dtype)
        self.noise_d = stylegan2.noise("dfm.G", self.G.masked_sides, dtype, "res_b")

    def styles(self, g):
        w, w_d = (
            self.G.apply({"params": g}, z, method=method)
            for z, method in ((self.z, "style"), (self.z_d, "defect_style"))
        )
        return repeat_slots(w, self.G.slots), repeat_slots(w_d, self.G.defect_slots)

    def draw(self, g, ws, ws_d, **options):
        inputs = ws, ws_d, self.noise, self.noise_d
        return self.G.apply({"params": g}, *inputs, method="draw_defect", **options)

    def judge(self, name, params, x):
        return self.critics[name].apply({"params": params}, x)

    def check(self, found, name):
        found = jnp.asarray(found)
        found = found.transpose(0, 3, 1, 2) if found.ndim == 4 else found
        goldens.assert_golden(found, STORED, name, self.tolerance)

    def check_norms(self, gradients, step, names):
        return stylegan2.check_norms(gradients, 64, STORED, step, names, self.tolerance)


golden = stylegan2.in_both_precisions(Golden)


def soft(mask):
    return jnp.tanh(10 * mask)


def test_images_and_masks(golden):
    ws, ws_d = jax.jit(golden.styles)(golden.g)
    golden.check(ws[:, 0], "map.w")
    golden.check(ws_d[:, 0], "map.dw")
    parts = [count(golden.g), *(count(c) for c in golden.critic.values())]
    assert [*parts, ws.shape[1], ws_d.shape[1]] == STORED["count"].tolist()
    draw = jax.jit(lambda *w: golden.draw(golden.g, *w, mutable="intermediates"))
    (image, mask), sown = draw(ws, ws_d)
    golden.check(image, "img")
    golden.check(soft(mask), "tanh10mask")
    for side in (16, 32, 64):
        change, raw = sown["intermediates"][f"defect{side}"][0]
        golden.check(raw[:1] if side == 16 else raw, f"mask{side}")
        golden.check(jnp.mean(raw >= 0, (1, 2, 3), dtype=raw.dtype), f"mask{side}.frac")
        golden.check(change, f"res{side}.x")
        x, _ = sown["intermediates"]["synthesis"][f"side{side}"][0]
        golden.check(x, f"b{side}.x")
    (mixed, mask), _ = draw(
        jnp.tile(mix(ws[:4], ws[4:], 4), (2, 1, 1)), jnp.tile(mix(ws_d[:4], ws_d[4:], 3), (2, 1, 1))
    )
    golden.check(mixed[:4], "img_mix")
    golden.check(mask[:4], "mask_mix")
    judged = jnp.concatenate([image, soft(raw)], axis=-1)
    for name, given in (("D", image), ("DM", judged)):
        judge = jax.jit(functools.partial(golden.judge, name, golden.critic[name]))
        golden.check(judge(given), f"{name}.logits")
        golden.check(judge(golden.real[name]), f"{name}.logits_real")


def test_the_twin_is_the_backbone_and_equal_outside_the_mask(golden):
    ws, ws_d = jax.jit(golden.styles)(golden.g)
    backbone = Generator(64, 3, 512, 32, 16, dtype=golden.dtype)
    params = {name: golden.g[name] for name in ("mapping", "synthesis")}
    plain, twin = (
        jax.jit(lambda ws, net=net, g=g: net.apply({"params": g}, ws, golden.noise, method="draw"))(
            ws
        )
        for net, g in ((backbone, params), (golden.G, golden.g))
    )
    np.testing.assert_array_equal(plain, twin)
    assert STORED["backbone_equal"]
    golden.check(twin, "img_good")
    image, _ = jax.jit(golden.draw)(golden.g, ws, ws_d)
    golden.check(jnp.mean(jnp.abs(image - twin), (1, 2, 3)), "absdiff")


def generator_terms(golden, g):
    """The three parts of the generator's loss: adversarial and matching [8], mode seeking."""
    ws, ws_d = golden.styles(g)
    image, mask = golden.draw(g, ws, ws_d)
    _, other = golden.draw(g, ws[:4], ws_d[4:])
    adversarial = golden.judge("D", golden.critic["D"], image)
    judged = jnp.concatenate([image, soft(mask)], axis=-1)
    match = golden.judge("DM", golden.critic["DM"], judged)
    sought = losses.mode_seeking(ws_d[:4], ws_d[4:], soft(mask[:4]), soft(other), eps=0.0)
    return losses.adversarial_g(adversarial), losses.adversarial_g(match), sought


def path_length(golden, g, y):
    ws, ws_d = (w[:4] for w in golden.styles(g))
    mean = jnp.zeros((), ws.dtype)
    return losses.path_length(lambda ws: golden.draw(g, ws, ws_d)[0], ws, y, mean)


@stylegan2.EXACTLY
def test_generator_gradients_and_their_reach(golden):
    @jax.jit
    def gradients(g, y):
        terms, pullback = jax.vjp(lambda g: generator_terms(golden, g), g)
        even, none = jnp.full_like(terms[0], 1 / 8), jnp.zeros_like(terms[0])
        one, zero = jnp.ones_like(terms[2]), jnp.zeros_like(terms[2])
        each = [(even, none, zero), (none, even, zero), (none, none, one)]
        reached = [pullback(part)[0] for part in each]
        length = jax.grad(lambda g: 4 * 2 * path_length(golden, g, y)[0])(g)
        return terms, reached, length, path_length(golden, g, y)

    y = stylegan2.images("dfm/y", (4, 3, 64, 64), 1, golden.dtype) / 64
    terms, (adversarial, match, sought), length, found = gradients(golden.g, y)
    for value, name in zip(terms, ("adv", "match", "ms"), strict=True):
        golden.check(value, f"Gmain.{name}")
    golden.check(terms[0] + terms[1], "Gmain.sum_without_ms")
    golden.check([jnp.mean(terms[0]), jnp.mean(terms[1]), terms[2]], "reach.terms")
    whole = jax.tree.map(lambda a, b, c: a + b + 0.1 * c, adversarial, match, sought)
    flat = golden.check_norms(whole, "Gmain", NAMES)
    for key in STORED:
        if key.startswith("Gmain.grad."):
            golden.check(flat[key.removeprefix("Gmain.grad.")], key)
    golden.check_norms(length, "Greg", NAMES)
    golden.check(found[1], "Greg.pl_mean")
    expected = STORED["Greg.penalty"].mean()
    assert abs(found[0] - expected) <= golden.tolerance * expected
    reach = [
        [np.any(stylegan2.named(tree, 64)[name]) for tree in (adversarial, match, sought, length)]
        for name in NAMES
    ]
    np.testing.assert_array_equal(reach, STORED["reach"].astype(bool))


@stylegan2.EXACTLY
def test_discriminator_gradients(golden):
    """Losses of D and of D_match, which judges the mask as well, and their penalties."""
    ws, ws_d = jax.jit(golden.styles)(golden.g)
    image, mask = jax.jit(golden.draw)(golden.g, ws, ws_d)
    fakes = {"D": image, "DM": jnp.concatenate([image, soft(mask)], axis=-1)}
    for name, prefix in (("D", "D"), ("DM", "D_match")):
        judge, real = functools.partial(golden.judge, name), golden.real[name]
        order = [*stylegan2.named(golden.critic[name], 64)]

        def loss(params, judge=judge, name=name, real=real):
            return losses.adversarial_d(judge(params, real), judge(params, fakes[name]))

        def penalty(params, judge=judge, real=real):
            return 16 * 0.1024 * losses.r1(lambda x: judge(params, x), real)

        for f, step, expected in (
            (loss, "main", STORED[f"{prefix}main.loss"].mean()),
            (penalty, "reg", 16 * 0.1024 / 2 * STORED[f"{prefix}reg.penalty"].mean()),
        ):
            total, gradients = jax.jit(jax.value_and_grad(f))(golden.critic[name])
            assert abs(total - expected) <= golden.tolerance * expected
            golden.check_norms(gradients, f"{prefix}{step}", sorted(order, key=_torch_order))


def _torch_order(name):
    """Sort D's parameters as the authors' modules come: by falling side, then by layer."""
    block, layer, kind = name.split(".")
    layers = ["fromrgb", "conv0", "conv1", "skip", "conv", "fc", "out"]
    return -int(block[1:]), layers.index(layer), kind == "bias"


@stylegan2.EXACTLY
def test_slots_that_images_and_masks_read(golden):
    """ToMask reads slot 2 of the defect, as the next block does; nothing reads the last one."""

    @jax.jit
    def gradients(ws, ws_d):
        (image, mask), pullback = jax.vjp(lambda *w: golden.draw(golden.g, *w), ws, ws_d)
        flat = jnp.zeros_like(image), jnp.zeros_like(mask)
        return pullback((jnp.ones_like(image), flat[1])), pullback((flat[0], jnp.ones_like(mask)))

    ws, ws_d = (w[:2] for w in jax.jit(golden.styles)(golden.g))
    for name, found in zip(("img", "mask"), gradients(ws, ws_d), strict=True):
        for kind, gradient in zip(("ws", "dws"), found, strict=True):
            read = np.linalg.norm(gradient, axis=-1) > 0
            np.testing.assert_array_equal(read, STORED[f"slotgrad.{name}.{kind}"] > 0)
