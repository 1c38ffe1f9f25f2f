"""Pins DFMGAN's networks, masks and gradients against numbers of the authors' code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    image, mask = jax.jit(net.apply)({"params": params}, z, z)
    assert mask.shape == (2, 16, 16, 1) and np.all(mask < 0)
    draw = jax.jit(functools.partial(net.apply, {"params": params}), static_argnames="method")
    ws = repeat_slots(draw(z, method="style"), net.slots)
    np.testing.assert_array_equal(image, draw(ws, method="draw"))  # a defect of no pixels


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
        flat = stylegan2.named(gradients, 64)
        norms = [np.linalg.norm(flat[name]) for name in names]
        goldens.assert_golden(norms, STORED, f"{step}.gradnorm", self.tolerance)
        return flat


@pytest.fixture(params=["float32", "float64"], scope="module")
def golden(request):
    with jax.enable_x64(request.param == "float64"):
        yield Golden(request.param)


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
