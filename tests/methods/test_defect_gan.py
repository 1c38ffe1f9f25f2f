"""Pins Defect-GAN's algorithm: who learns when, both cycles, labels, places, table 2."""

import re
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import cli, images
from dtgan.config import ConfigError, base_config, shrink, validate
from dtgan.data import catalog
from dtgan.data.procedural import CLASSES
from dtgan.images import to_uint8
from dtgan.methods.base import Donor
from dtgan.methods.defect_gan import DefectGAN, boxes, make
from dtgan.methods.registry import make_method
from dtgan.sampling import requests, sampler
from dtgan.training.loop import train_and_evaluate
from tests.methods.families import (
    assert_same_step,
    batch_of,
    leaves,
    moved,
    on_eight_devices,
    refusal,
    run_of,
    start,
    tiny,
)

SEVERAL = ("normal", "crack", "crack+spot")


def small(**fields):
    return tiny("defect_gan", **{"model__blocks": 1, "model__places": 0.5, **fields})


class Step(NamedTuple):
    """Both phases of one step with learning rate 0."""

    config: Any
    method: Any
    before: Any
    batch: dict
    after: dict  # by phase
    losses: dict


@pytest.fixture(scope="module")
def one_step():
    config = small(optim__lr=0.0, optim__lr_end=0.0)
    method, state = start(config)
    batch = batch_of(config, method.reads, seed=11)
    done = {phase.name: jax.jit(phase.run)(state, batch) for phase in method.phases}
    after, found = ({name: pair[k] for name, pair in done.items()} for k in (0, 1))
    return Step(config, method, state, batch, after, found)


def test_losses_are_the_weighed_sums_of_their_terms(one_step):
    weight = one_step.config.loss
    for phase, total, terms in (
        ("d", "D", ("adv_d", "gp", "cls_d")),
        ("g", "G", ("adv_g", "cls_g", "rec", "sd_cyc", "sd_con")),
    ):
        found = {name: float(value) for name, value in one_step.losses[phase].items()}
        assert set(found) == {f"loss/{name}" for name in (total, *terms)}
        expected = sum(weight[name] * found[f"loss/{name}"] for name in terms)
        assert_allclose(found[f"loss/{total}"], expected, rtol=1e-5)
    assert [weight[n] for n in ("gp", "cls_d", "cls_g", "rec", "sd_cyc", "sd_con")] == [
        *(10, 2, 5, 5, 5, 1)
    ]


def test_a_phase_gives_a_gradient_to_every_parameter_of_its_net_and_to_no_other(one_step):
    for phase, own, other in (("d", "D", "G"), ("g", "G", "D")):
        nets = one_step.after[phase].nets
        for path, g in jax.tree_util.tree_leaves_with_path(nets[own].opt_state[0].mu):
            assert float(jnp.abs(g).max()) > 0, (own, jax.tree_util.keystr(path))
        assert all(not np.any(x) for x in jax.tree.leaves(nets[other].opt_state[0].mu))


def test_one_and_eight_devices_give_the_same_gradients(one_step):
    for phase, net in (("d", "D"), ("g", "G")):
        run = run_of(one_step.method, phase)
        spread, found, _ = on_eight_devices(run, one_step.before, one_step.batch)
        one = one_step.after[phase], one_step.losses[phase]
        assert_same_step(one, (spread, found), (net,), atol=1e-6)


def test_an_empty_mask_costs_nothing_but_the_critic(one_step):
    """With m = 0 both cycles end where they began."""
    m, state, key = DefectGAN(one_step.config, CLASSES), one_step.before, jax.random.key
    params = jax.tree.map(jnp.copy, state.nets["G"].params)
    head = params["params"]["head"]
    head["bias"] = head["bias"].at[-1].set(-300.0)
    batch = {name: jnp.asarray(x) for name, x in one_step.batch.items()}
    d, n = (images.to_float(batch[name]) for name in ("image", "normal"))
    labels = m.targets(batch, lambda name: key(1))
    _, terms = jax.jit(m.g_loss, static_argnames="key")(
        params, state.nets["D"].params, d, n, *labels, key=lambda name: key(2)
    )
    assert all(float(terms[name]) == 0 for name in ("rec", "sd_cyc", "sd_con"))
    assert abs(float(terms["adv_g"])) > 0 and float(terms["cls_g"]) > 0


def test_labels_of_several_defects_and_the_labels_asked_for():
    m = DefectGAN(small(), SEVERAL)
    assert_array_equal(m.labels_of, [[1, 0, 0], [0, 1, 0], [0, 1, 1]])
    label = jnp.array([1, 2, 1, 1, 1, 1, 2, 2])
    y, y0, wanted = m.targets({"label": label}, lambda name: jax.random.key(3))
    assert_array_equal(y, m.labels_of[np.asarray(label)])
    assert_array_equal(y0, np.tile(m.labels_of[:1], (8, 1)))
    assert_array_equal(np.sort(wanted, axis=0), np.sort(y, axis=0))
    assert np.any(np.asarray(wanted) != np.asarray(y))


def test_places_drawn_in_training_are_boxes():
    """A box has sides of an eighth to all of the image; who gets none may paint everywhere."""
    drawn = np.asarray(boxes(jax.random.key(0), 400, 32, 0.75))[..., 0]
    assert set(np.unique(drawn)) == {0, 1}
    rows, columns = drawn.max(2), drawn.max(1)
    assert_array_equal(drawn, rows[:, :, None] * columns[:, None, :])
    for line in (rows, columns):
        assert np.all(np.abs(np.diff(line, prepend=0, append=0)).sum(1) == 2)  # one stretch
        assert line.sum(1).min() == 4 and line.sum(1).max() == 32
        assert line[:, 0].any() and line[:, -1].any()
    assert 0.2 < np.mean(drawn.all((1, 2))) < 0.3
    assert np.all(boxes(jax.random.key(1), 8, 32, 0.0) == 1)


def test_nothing_is_painted_outside_a_limit(one_step):
    """And a limit that is everywhere changes nothing."""
    m, params = DefectGAN(one_step.config, CLASSES), one_step.before.nets["G"].params
    n = images.to_float(jnp.asarray(one_step.batch["normal"]))
    y, limit = jnp.asarray(m.labels_of)[one_step.batch["label"]], jnp.zeros((8, 32, 32, 1))
    paint = jax.jit(lambda *asked: m.paint(params, jax.random.key(4), *asked))
    placed, free = paint((n, y, limit.at[:, 4:20, 8:].set(1.0)), (n, y, None))
    outside = np.ones((32, 32), bool)
    outside[4:20, 8:] = False
    assert_array_equal(placed.image[:, outside], n[:, outside])
    assert not np.any(placed.m[:, outside]) and np.all(placed.m[:, ~outside] > 0)
    (whole,) = paint((n, y, limit + 1.0))
    (same,) = paint((n, y, None))
    assert_allclose(whole.image, same.image, atol=1e-5)
    assert np.all(free.m > 0)


def test_switches_of_table_2():
    """Of nothing StarGAN is left, with its own weights; no family but the full one has a mask."""
    star = cli.read_config("configs/defect_gan.py:scc=0,ani=0,lwc=0,sc=0")
    assert (star.loss.cls_g, star.loss.rec, star.loss.sd_con) == (1, 10, 0)
    validate(star)
    star.model.places = 0.5
    with pytest.raises(ConfigError, match="a place needs the class map and the mask"):
        validate(star)
    star.model.places = 0.0
    method = make(star, SEVERAL)
    assert "mask" not in method.gives and method.noise is None and not method.keeps_surface
    spade = cli.read_config("configs/defect_gan.py:ani=0,lwc=0,sc=0")
    assert spade.model.scc and (spade.loss.cls_g, spade.loss.rec) == (5, 5)
    quick = cli.read_config("configs/defect_gan.py:quick")
    assert (quick.data.res, quick.model.lwc) == (64, True)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.lwc", False, "loss.sd_cyc=5.0 is of the mask, .* set loss.sd_cyc=0"),
        ("model.blocks", 0, "model.blocks=0 is below 1"),
        ("model.places", 1.5, "model.places=1.5 is not between 0 and 1"),
        ("optim.n_critic", 0, "optim.n_critic=0 is below 1"),
        ("optim.ema", 1.0, "optim.ema=1.0 is not below 1"),
        ("optim.decay_from", 1.5, "optim.decay_from=1.5 is outside 0..1"),
        ("train.duration", "12epochs", "write it in steps or kimg, or set optim.decay_from=1"),
    ],
)
def test_bad_values_get_one_line(field, value, message):
    assert re.search(message, refusal("defect_gan", field, value))


def test_donors_of_other_shapes_classes_and_families_are_refused(one_step):
    params = {name: net.params for name, net in one_step.before.nets.items()}
    ema = one_step.before.ema
    adopted = one_step.method.adopt(one_step.before, Donor("defect_gan", CLASSES, params, ema))
    assert not moved(adopted.nets["G"], one_step.before.nets["G"])
    with pytest.raises(ConfigError, match="method=defect_gan starts from its own runs only"):
        one_step.method.adopt(one_step.before, Donor("another", CLASSES, params, ema))
    with pytest.raises(ConfigError, match="starts from the same ones only"):
        one_step.method.adopt(one_step.before, Donor("defect_gan", SEVERAL, params, ema))
    wider = {**params, "G": jax.tree.map(lambda x: jnp.zeros((*x.shape, 2)), params["G"])}
    with pytest.raises(ConfigError, match=r"init.workdir: G.* is \(.*\) there and \(.*\) here"):
        one_step.method.adopt(one_step.before, Donor("defect_gan", CLASSES, wider, ema))


# --- a folder with two defects on one image: trained, resumed, drawn from -------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("several"), np.random.default_rng(0)
    for name, number in (("normal", 6), ("crack", 5), ("crack+spot", 5)):
        for k in range(number):
            picture = rng.integers(90, 110, (32, 32, 1)).astype(np.uint8)
            picture[4 * len(name.split("+")) :][:3] -= 60 * ("crack" in name)
            images.write_image(root / "images" / name / f"{k}.png", picture)
    return root


def config_of(folder):
    config = base_config("defect_gan")
    shrink(config)
    config.model.blocks, config.model.places, config.optim.n_critic = 1, 0.5, 2
    config.data.source, config.data.path, config.data.batch_size = "folder", str(folder), 8
    return config


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """The workdir of four steps, two of them of G, and the last state."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train_and_evaluate(config_of(folder), workdir)


def test_a_resumed_run_ends_with_the_same_bits(trained, folder, tmp_path):
    """Its last checkpoint is gone, as after a kill."""
    shutil.copytree(trained[0], tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "4")
    state = train_and_evaluate(config_of(folder), tmp_path / "again")
    for name, net in trained[1].nets.items():
        for a, b in zip(leaves(net), leaves(state.nets[name]), strict=True):
            assert_array_equal(a, b)


@pytest.fixture(scope="module")
def drawer(trained):
    """A Sampler whose parameters are moved off their start."""
    made = sampler.load(trained[0])
    ema = jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), made.ema)
    return sampler.Sampler(made.config, made.classes, 0, ema, made.method)


def test_places_of_labels(drawer, folder):
    """Boxes and masks by label; the whole image is no place; the surface stays where m is 0."""
    assert drawer.classes == SEVERAL
    source = catalog.open_source(drawer.config, "train")

    def ask(**controls):
        return requests.control_request(drawer, source, 3, **controls)

    where = {"crack": [(2, 4, 10, 6), (20, 20, 5, 12)], "spot": np.eye(32) > 0}
    request = ask(where=where)
    assert_array_equal(request["labels"], [[0, 1, 1]] * 3)
    assert request["where"].shape == (3, 32, 32, 3) and not request["where"][..., 0].any()
    assert_array_equal(request["where"][1, 4:10, 2:12, 1], 255)
    assert np.count_nonzero(request["where"][0, ..., 1]) == 10 * 6 + 5 * 12
    drawn = drawer(request)
    assert_array_equal(to_uint8(drawn["clean"]), request["surface"])
    plain = ask(classes=("crack+spot",))
    assert_array_equal(plain["labels"], [[0, 1, 1]] * 3)
    whole = {**plain, "where": np.full((3, 32, 32, 3), 255, np.uint8)}
    assert_allclose(drawer(whole)["image"], drawer(plain)["image"], atol=1e-5)
    half = ask(classes=("crack",), where=np.arange(32)[:, None] + np.zeros((1, 32)) < 16)
    upper = drawer(half)
    assert_array_equal(to_uint8(upper["image"])[:, 16:], half["surface"][:, 16:])
    assert np.abs(upper["image"] - drawer(plain)["image"])[:, :16].max() > 1e-3
    limit = np.where(np.arange(32)[None, :, None, None] < 16, np.uint8(255), np.uint8(0))
    limit = np.broadcast_to(limit, (3, 32, 32, 1))
    bound = requests.bounds(drawer.method, plain, limit)  # as `generate --limits` has it
    assert_array_equal(drawer({**plain, **bound})["mask"][:, 16:], 0)
    other = drawer.method._replace(controls=("limit", "where"))
    assert_array_equal(requests.bounds(other, plain, limit)["limit"], limit)
    restored = drawer({**plain, "defect": plain["surface"]})
    assert restored["removed"].shape == restored["image"].shape
    with pytest.raises(ConfigError, match="'removed' is made of a defect image"):
        drawer(plain, outputs=("removed",))
    for bad, message in (
        ({"crak": [(0, 0, 4, 4)]}, "did you mean 'crack'"),
        ({"normal": [(0, 0, 4, 4)]}, "no defect label of this run"),
        ({"crack": [(30, 0, 4, 4)]}, r"\(30, 0, 4, 4\) does not lie within the 32 x 32 pixels"),
        ({"crack": [(3, 0, 0, 4)]}, "does not lie within"),
        ({"crack": np.zeros((8, 8), np.uint8)}, r"use \(32, 32\) or \(3, 32, 32, 1\)"),
        (np.full((32, 32), 0.5), "where is float64"),
    ):
        with pytest.raises(ConfigError, match=message):
            ask(where=bad)
    with pytest.raises(ConfigError, match="has no control 'strength'"):
        ask(strength=0.5)


def test_requests_for_places_go_to_methods_that_know_them(folder):
    other = make_method(base_config("dtgan"), SEVERAL)
    with pytest.raises(ConfigError, match="method=dtgan has no control 'where'"):
        requests.check(other, "dtgan", dict.fromkeys((*other.needs, "where")))
