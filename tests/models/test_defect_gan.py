"""Pins Defect-GAN's networks: parameter counts of the papers, numbers of StarGAN's own code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import losses
from dtgan.models.defect_gan import Critic, Generator
from tests import goldens

KEY = jax.random.key(0)


def count(module, *shapes):
    tree = jax.eval_shape(module.init, KEY, *map(jnp.zeros, shapes))
    return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("labels", "switches", "number"),
    [
        (5, {}, 12_446_421),
        (6, {}, 12_455_637),
        (6, {"ani": False}, 12_455_620),
        (5, {"scc": False, "ani": False, "lwc": False}, 8_430_528),
        (6, {"scc": False, "ani": False, "lwc": False}, 8_433_664),
    ],
)
def test_parameters_of_the_generator(labels, switches, number):
    generator = Generator(64, **switches)
    assert count(generator, (1, 128, 128, 3), (1, 1, 1, labels)) == number


@pytest.mark.parametrize(
    ("res", "labels", "number", "side"),
    [
        (128, 5, 44_762_048, 2),
        (128, 6, 44_770_240, 2),
        (256, 5, 44_884_928, 4),
        (64, 5, 11_175_872, 2),
        (64, 6, 11_179_968, 2),
    ],
)
def test_parameters_and_outputs_of_the_critic(res, labels, number, side):
    critic, shape = Critic(64, labels), (1, res, res, 3)
    assert count(critic, shape) == number
    src, cls = jax.eval_shape(lambda x: critic.init_with_output(KEY, x)[0], jnp.zeros(shape))
    assert src.shape == (1, side, side) and cls.shape == (1, labels)


# --- StarGAN's numbers: 64 px, width 8, 5 labels, 2 residual blocks -------------------------------


def places_of_g():
    """{leaf: name in the authors' code} of G without SPADE, noise and mask."""
    units = {"e0": "main.0", "e1": "main.3", "e2": "main.6", "d0": "main.11", "d1": "main.14"}
    places = {"head/kernel": "main.17.weight"}
    for name, layer in units.items():
        *parents, number = layer.split(".")
        units[name] = layer, ".".join([*parents, str(int(number) + 1)])
    for block in (0, 1):
        for name, number in (("a", 0), ("b", 3)):
            inner = f"main.{9 + block}.main."
            units[f"r{block}{name}"] = f"{inner}{number}", f"{inner}{number + 1}"
    for name, (conv, norm) in units.items():
        places[f"{name}/conv/kernel"] = f"{conv}.weight"
        places |= {f"{name}/norm/scale": f"{norm}.weight", f"{name}/norm/bias": f"{norm}.bias"}
    return places


PLACES_OF_G = places_of_g()
PLACES_OF_D = {
    **{f"conv{k}/kernel": f"main.{2 * k}.weight" for k in range(5)},
    **{f"conv{k}/bias": f"main.{2 * k}.bias" for k in range(5)},
    "src/kernel": "conv1.weight",
    "cls/kernel": "conv2.weight",
}


def norms(gradients, places, names):
    """L2 norms of the gradients of all parameters, in the order of `names`."""
    flat = {places[path]: g for path, g in goldens.flatten(gradients).items()}
    return np.array([np.linalg.norm(flat[name]) for name in names])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
def test_stargan_equals_the_authors(dtype, tolerance):
    stored = goldens.values("stargan")
    with jax.enable_x64(dtype == "float64"):
        switches = {"scc": False, "ani": False, "lwc": False}
        g = Generator(8, 2, **switches, dtype=jnp.dtype(dtype))
        d = Critic(8, 5, dtype=jnp.dtype(dtype))
        image, label = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, 1, 1, 5))
        shapes = [
            jax.eval_shape(net.init, KEY, *x)["params"]
            for net, x in ((g, (image, label)), (d, (image,)))
        ]
        up = ("d0/conv/kernel", "d1/conv/kernel")
        of_g = goldens.filled(shapes[0], PLACES_OF_G, "stargan.G", dtype, transposed=up)
        of_d = goldens.filled(shapes[1], PLACES_OF_D, "stargan.D", dtype)
        counts = [sum(x.size for x in jax.tree.leaves(p)) for p in (of_g, of_d)]
        assert_array_equal(counts, stored["count"])

        x = np.float32(0.5) * goldens.drawn("stargan/x", (4, 3, 64, 64))
        x = jnp.asarray(x.transpose(0, 2, 3, 1), dtype)
        label = jnp.asarray(goldens.drawn("stargan/lab", (4, 5)) > 0, dtype)
        target = label[np.array([1, 2, 3, 0])]
        alpha = jnp.asarray(goldens.drawn("stargan/alpha", (4, 1, 1, 1), "uniform"), dtype)

        def paint(of_g, x, label):
            return g.apply({"params": of_g}, x, label[:, None, None]).image

        def judge(of_d, x):
            return d.apply({"params": of_d}, x)

        fake = jax.jit(paint)(of_g, x, target)
        mixed = alpha * x + (1 - alpha) * fake

        def d_loss(of_d):
            (src, cls), (src_fake, cls_fake) = judge(of_d, x), judge(of_d, fake)
            penalty = losses.gradient_penalty(lambda x: judge(of_d, x)[0], mixed)
            bce = losses.multi_label(cls, label)
            found = {"D.src": src[:, None], "D.cls": cls, "D.src_fake": src_fake[:, None]}
            found |= {"D.cls_fake": cls_fake, "cls.bce": bce, "gp.value": penalty}
            return losses.critic(src, src_fake) + bce + 10 * penalty, found

        def g_loss(of_g):
            fake = paint(of_g, x, target)
            src, cls = judge(of_d, fake)
            rec = losses.l1(x, paint(of_g, fake, label))
            return -jnp.mean(src) + losses.multi_label(cls, target) + 10 * rec, {"Gstep.rec": rec}

        steps = {}
        for name, loss, p in (("Dstep", d_loss, of_d), ("Gstep", g_loss, of_g)):
            (value, found), steps[name] = jax.jit(jax.value_and_grad(loss, has_aux=True))(p)
            for entry, array in (found | {f"{name}.loss": value}).items():
                goldens.assert_golden(array, stored, entry, tolerance)
        goldens.assert_golden(fake.transpose(0, 3, 1, 2), stored, "G.out", tolerance)
        goldens.assert_golden(jnp.mean(fake, (1, 2)), stored, "G.out_meanHW", tolerance)
        src = steps["Dstep"]["src"]["kernel"].transpose(3, 2, 0, 1)
        goldens.assert_golden(src, stored, "Dstep.grad.conv1", tolerance)
        for name, places, net in (("Dstep", PLACES_OF_D, "D"), ("Gstep", PLACES_OF_G, "G")):
            found = norms(steps[name], places, stored[f"{net}.names"])
            goldens.assert_golden(found, stored, f"{name}.gradnorm", tolerance)


# --- what the paper promises ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def painter():
    generator = Generator(2, 2, channels=1)
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 1)), jnp.float32)
    labels = jnp.eye(3)[jnp.array([1, 2])][:, None, None]
    noise = generator.draw_noise(KEY, 2, 32)
    params = jax.jit(generator.init)(KEY, x, labels, noise)["params"]
    return generator, params, x, labels, noise


def test_nothing_changes_where_the_mask_is_0_and_all_where_it_is_1(painter):
    generator, params, x, labels, noise = painter
    apply = jax.jit(lambda params: generator.apply({"params": params}, x, labels, noise))
    bias = params["head"]["bias"]
    for value in (-200.0, 200.0):
        head = params["head"] | {"bias": bias.at[-1].set(value)}
        image, m = apply(params | {"head": head})
        assert_array_equal(m, float(value > 0))
        if value < 0:
            assert_array_equal(image, x)
        else:
            assert jnp.abs(image - x).max() > 0.1
    assert 0.2 < float(jnp.mean(apply(params).m)) < 0.35  # sigmoid(-1), ours


def test_a_full_map_is_the_label_and_noise_counts_once_it_has_strength(painter):
    generator, params, x, labels, noise = painter
    apply = jax.jit(lambda params, *a: generator.apply({"params": params}, x, *a).image)
    whole = jnp.broadcast_to(labels, (2, 32, 32, 3))
    assert_allclose(apply(params, whole, noise), apply(params, labels, noise), atol=1e-5)
    assert len(noise) == len(generator.noise_sides(32)) == 5 + 2 * 2
    other = generator.draw_noise(jax.random.key(1), 2, 32)
    assert_array_equal(apply(params, labels, other), apply(params, labels, noise))
    loud = jax.tree_util.tree_map_with_path(
        lambda path, p: p + 0.3 if path[-1].key == "noise" else p, params
    )
    assert jnp.abs(apply(loud, labels, other) - apply(loud, labels, noise)).max() > 1e-3
