"""Pins CycleGAN's networks and losses against numbers of the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan.config import base_config
from dtgan.methods.cyclegan import CycleGAN
from dtgan.models.cyclegan import PatchCritic, ResNetGenerator
from tests import goldens

KEY = jax.random.key(0)
LAYERS_OF_G = {"e0": 1, "e1": 4, "e2": 7, "d0": 12, "d1": 15, "head": 19}
LAYERS_OF_G |= {
    f"r{k}{x}": f"{10 + k}.conv_block.{y}" for k in (0, 1) for x, y in (("a", 1), ("b", 5))
}
LAYERS_OF_D = {"conv0": 0, "conv1": 2, "conv2": 5, "conv3": 8, "out": 11}


@pytest.mark.parametrize(
    ("net", "number"),
    [
        (ResNetGenerator(64, 6, 3), 7_837_699),
        (ResNetGenerator(64, 9, 3), 11_378_179),
        (PatchCritic(64), 2_764_737),
    ],
)
def test_parameter_counts(net, number):
    tree = jax.eval_shape(net.init, KEY, jnp.zeros((1, 128, 128, 3)))
    assert sum(x.size for x in jax.tree.leaves(tree)) == number


def places(layers):
    ends = {"kernel": "weight", "bias": "bias"}
    return {f"{a}/{x}": f"model.{b}.{y}" for a, b in layers.items() for x, y in ends.items()}


def norms(gradients, layers, names):
    flat = {places(layers)[path]: g for path, g in goldens.flatten(gradients).items()}
    return np.array([np.linalg.norm(flat[name]) for name in names])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
def test_cyclegan_equals_the_authors(dtype, tolerance):
    """There A is normal, B defective; G_A makes B, D_A judges B."""
    stored = goldens.values("cyclegan")
    config = base_config("cyclegan")
    config.data.res, config.data.channels = 32, 3
    config.model.ch, config.model.blocks, config.dtype = 8, 2, dtype
    with jax.enable_x64(dtype == "float64"):
        m, image = CycleGAN(config, ("normal", "b")), jnp.zeros((1, 32, 32, 3))
        up = ("d0/kernel", "d1/kernel")
        g, d = (
            {
                domain: {
                    "params": goldens.filled(
                        jax.eval_shape(net.init, KEY, image)["params"],
                        *(places(layers), f"cyclegan.{kind}{letter}", dtype),
                        **({"transposed": up, "turned": True} if kind == "G" else {}),
                    )
                }
                for domain, letter in (("d", "A"), ("n", "B"))
            }
            for net, layers, kind in ((m.G, LAYERS_OF_G, "G"), (m.D, LAYERS_OF_D, "D"))
        )
        d = {domain: {"real": params} for domain, params in d.items()}
        n, x = (
            jnp.asarray(
                (np.float32(0.5) * goldens.drawn(key, (2, 3, 32, 32))).transpose(0, 2, 3, 1), dtype
            )
            for key in ("cyclegan/A", "cyclegan/B")
        )
        (total, (terms, fakes)), of_g = jax.jit(jax.value_and_grad(m.g_loss, has_aux=True))(
            g, d, x, n
        )
        goldens.assert_golden(fakes["d"].transpose(0, 3, 1, 2), stored, "fakeB", tolerance)
        again = jax.jit(m.G.apply)(g["n"], fakes["d"])
        goldens.assert_golden(again.transpose(0, 3, 1, 2), stored, "recA", tolerance)

        def d_loss(critics, fake):
            scores = (m.D.apply(critics["real"], image)[:, None] for image in (x, fake))
            return 0.5 * m.adversarial_d(critics, x, fake), tuple(scores)

        (of_d_loss, (real, fake)), of_d = jax.jit(jax.value_and_grad(d_loss, has_aux=True))(
            d["d"], fakes["d"]
        )
        found = {
            "loss.G": total,
            "loss.D_A": of_d_loss,
            "DA.realB": real,
            "DA.fakeB": fake,
            "G.gradnorm": norms(of_g["d"]["params"], LAYERS_OF_G, stored["G.names"]),
            "DA.gradnorm": norms(of_d["real"]["params"], LAYERS_OF_D, stored["D.names"]),
        }
        for name, value in found.items():
            goldens.assert_golden(value, stored, name, tolerance)
        for name, weight in (
            ("adv_g", ("G_A", "G_B")),
            ("cyc", ("cyc_A", "cyc_B")),
            ("idt", ("idt_A", "idt_B")),
        ):
            expected = sum(stored[f"loss.{part}"] for part in weight)
            ours = float(terms[name]) * {"adv_g": 1, "cyc": 10, "idt": 5}[name]
            assert abs(ours - expected) <= tolerance * expected
