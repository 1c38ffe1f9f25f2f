"""Pins StyleGAN2-ADA's algorithm: who learns when, its averages, augmentation, requests, donors."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import cli, sharding
from dtgan.config import ConfigError, base_config, shrink, to_dict, validate
from dtgan.data.procedural import CLASSES
from dtgan.methods.base import Donor
from dtgan.methods.stylegan2 import StyleGAN2, make
from dtgan.runs.checkpoints import Checkpoints
from dtgan.sampling import requests
from dtgan.state import GanState
from tests import goldens
from tests.methods.families import (
    assert_same_step,
    batch_of,
    leaves,
    moved,
    on_eight_devices,
    refusal,
    run_of,
)

ONE = CLASSES[:2]
OWN = {  # what a phase changes
    "g": {"nets/G", "ema/w_avg"},
    "g_reg": {"nets/G", "extra/pl_mean"},
    "d": {"nets/D"},
    "d_reg": {"nets/D"},
    "ema": {"ema/G"},
}


def small(method="stylegan2", **fields):
    """A config of 8 px, smaller than users may have."""
    config = base_config(method)
    shrink(config)
    config.data.res, config.data.batch_size = 8, 8
    for name, value in fields.items():
        group, field = name.split("__")
        config[group][field] = value
    return config


class Step(NamedTuple):
    """All phases of step 0, one after the other."""

    config: Any
    method: Any
    batch: dict
    states: dict  # after each phase, and at its "start"
    losses: dict


def drawn_state(method, batch, seed=0):
    """A state with parameters of N(0, 1), 100 times that of mapping networks; all else is 0.

    Without compiling `init`, which is tested with the contract.
    """
    shapes, rng = jax.eval_shape(lambda key: method.init(key, batch), jax.random.key(0)), None
    rng = np.random.default_rng(seed)

    def draw(path, x):
        size = 100.0 if "mapping" in jax.tree_util.keystr(path) else 1.0
        return jnp.asarray(size * rng.standard_normal(x.shape), x.dtype)

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes._replace(rng=()))
    nets = {
        name: net._replace(params=jax.tree_util.tree_map_with_path(draw, net.params))
        for name, net in zeros.nets.items()
    }
    ema = {
        name: nets["G"].params if name == "G" else jax.tree_util.tree_map_with_path(draw, part)
        for name, part in zeros.ema.items()
    }
    return zeros._replace(rng=jax.random.key(0), nets=nets, ema=ema | {"w_avg": zeros.ema["w_avg"]})


def one_step(config, classes, make_method, phases):
    method = make_method(config, classes)
    batch = batch_of(config, method.reads, seed=3)
    batch["label"] = 1 + np.arange(len(batch["label"])) % (len(classes) - 1)
    start = drawn_state(method, batch)
    states, found = {"start": start}, {}
    for name in phases:
        states[name], found[name] = jax.jit(run_of(method, name))(start, batch)
    return Step(config, method, batch, states, found)


def changes(step, phase):
    """The parts of the state that a phase computes anew, "nets/G", "ema/w_avg", ...; by tracing."""
    start = step.states["start"]
    run = run_of(step.method, phase)
    batch = jax.tree.map(jnp.asarray, step.batch)
    flat = jax.make_jaxpr(lambda state: run(state, batch)[0])(start).jaxpr
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(start)]
    pairs = zip(paths, flat.outvars, flat.invars, strict=True)
    names = [(path[0].name, *(key.key for key in path[1:2])) for path, a, b in pairs if a is not b]
    return {"/".join(map(str, name)) for name in names}


@pytest.fixture(scope="module")
def done():
    """Defects of two classes."""
    config = small(data__learn="defects", augment__kind="none")
    return one_step(config, CLASSES[:3], make, ("g", "d"))


def test_a_step_runs_its_phases_in_order_and_rhythm():
    phases = make(small(), CLASSES).phases

    def due(step):
        return [phase.name for phase in phases if phase.due(step)]

    assert due(0) == ["g", "g_reg", "d", "d_reg", "ema"]
    assert due(1) == due(2) == ["g", "d", "ema"] and due(3) == ["g", "d", "ema", "ada"]
    assert due(4) == ["g", "g_reg", "d", "ema"] and due(16) == due(0)


def test_a_phase_changes_its_own_network_and_statistic_alone(done):
    for name, parts in OWN.items():
        assert changes(done, name) == parts, name
    for name, net in (("g", "G"), ("d", "D")):
        for path, g in jax.tree_util.tree_leaves_with_path(done.states[name].nets[net].opt_state):
            path = jax.tree_util.keystr(path)
            assert "nu" not in path or float(jnp.abs(g).max()) > 0, (name, path)


def test_the_statistic_counts_signs_of_all_passes():
    """Those of D's step and of its penalty alike: five batches where both fall into a window."""
    control, m = goldens.values("ada_control"), StyleGAN2(small(), ONE)
    state = make_empty(m)
    for logits in 3.0 * control["ctl.sign_reports"]:
        state = m.counted(state, jnp.asarray(logits, jnp.float32))
    assert state.extra["seen"] == 40
    assert state.extra["signs"] == 40 * control["ctl.collector_mean"]
    state = m.counted(state, jnp.array([-1.0, 2.0, 3.0]))
    assert state.extra["seen"] == 43 and state.extra["signs"] == 1
    assert StyleGAN2(small(augment__kind="none"), ONE).counted(state, jnp.ones(3)) is state


@pytest.mark.parametrize(
    ("name", "start", "early", "batch", "kimg"),
    [
        ("resumed_low", 0.0, [-1, -1], 16, 100),
        ("resumed_high", 0.999, [], 16, 100),
        ("scratch", 0.25, [], 32, 500),
    ],
)
def test_trace_of_the_chance_of_augmentation(name, start, early, batch, kimg):
    """Below 0 it does not go, past 1 it does; a mean sign equal to the target leaves it alone."""
    control = goldens.values("ada_control")
    config = small(data__batch_size=batch, augment__kimg=float(kimg), augment__start=start)
    m = StyleGAN2(config, ONE)
    state, found = make_empty(m), []
    run = jax.jit(run_of(m, "ada"))
    for sign in (*early, *control["ctl.signs"]):
        signs = {"signs": jnp.float32(sign * 80), "seen": jnp.float32(80)}
        state, _ = run(state._replace(extra=state.extra | signs), None)
        found.append(float(state.extra["p"]))
        assert state.extra["seen"] == state.extra["signs"] == 0
    assert_allclose(found, control[f"ctl.{name}"], rtol=2e-6, atol=1e-9)
    assert (max(found) > 1) == (name == "resumed_high")


def make_empty(m):
    """A state with nothing but the extra."""
    return GanState(jnp.zeros((), jnp.int32), None, {}, {}, m.extra())


def test_running_means(done):
    """G's is a copy at step 0 and half of the way after its half-life; w's is by class."""
    config, start = done.config, done.states["start"]
    moved_on = jax.tree.map(lambda x: x + 1.0, start.nets["G"].params)
    nets = start.nets | {"G": start.nets["G"]._replace(params=moved_on)}
    run, ema = run_of(done.method, "ema"), start.ema["G"]
    for step, share in ((0, 1.0), (10**6, 1 - 0.5 ** (32 / 10000))):
        after, _ = run(start._replace(nets=nets, step=jnp.int32(step)), None)
        for a, b, p in zip(*map(jax.tree.leaves, (after.ema["G"], ema, moved_on)), strict=True):
            assert_allclose(a, b + share * (p - b), rtol=1e-4, atol=1e-5)
    assert config.optim.ema_ramp == 0.05
    m = StyleGAN2(config, CLASSES[:3])
    w_avg = done.states["g"].ema["w_avg"]["mapping"]
    real, label = m.inputs(done.batch)
    _, w = m.styles(start.nets["G"].params, m.key(start, "g"), real, label)
    for k in (0, 1):
        assert_allclose(w_avg[k], 0.005 * w[np.asarray(label) == k].mean(0), rtol=1e-4, atol=1e-7)


def test_one_and_eight_devices_give_the_same_gradients(done):
    """D compares images of the whole batch, wherever they are."""
    spread, found, hlo = on_eight_devices(
        run_of(done.method, "d"), done.states["start"], done.batch
    )
    one = done.states["d"], done.losses["d"]
    assert_same_step(one, (spread, found), ("D",), atol=1e-6)
    assert "all-reduce" in hlo


def test_labels_reach_the_networks_only_where_there_are_several_classes(done):
    several = done.states["start"].nets
    assert "embed" in several["G"].params["params"]["mapping"]
    assert "mapping" in several["D"].params["params"]
    one = make(small(data__learn="defects"), ONE)
    nets = jax.eval_shape(lambda key: one.init(key, done.batch), jax.random.key(0)).nets
    assert "embed" not in nets["G"].params["params"]["mapping"]
    assert "mapping" not in nets["D"].params["params"]
    assert one.needs == () and done.method.needs == ("labels",)
    surfaces = make(small(), CLASSES)
    assert surfaces.reads == ("normal",) and surfaces.needs == ()
    with pytest.raises(ConfigError, match="has learnt defect-free images"):
        requests.check_classes(surfaces, "stylegan2", CLASSES[1:2])


def test_requests(done):
    """Seeds and truncation do what they say, row by row."""
    method, ema = done.method, done.states["g"].ema
    noise = method.draw_noise(jax.random.key(1), 4)
    label = requests.one_hot(CLASSES[:3], np.array([1, 2, 1, 1]))
    infer = jax.jit(method.infer)
    plain = infer(ema, {"labels": label}, noise)["image"]
    assert np.abs(plain[0] - plain[2]).max() > 1e-3
    seeds = np.array([7, 7, 7, 8], np.int32)
    seeded = infer(ema, {"labels": label, "object_seed": seeds}, noise)["image"]
    assert_allclose(seeded[0], seeded[2], atol=1e-6)
    for other in (1, 3):  # another class, another seed
        assert np.abs(seeded[0] - seeded[other]).max() > 1e-3
    psi = np.array([1, 0, 0, 0], np.float32)
    noise = {name: x if name == "z" else x[np.zeros(4, int)] for name, x in noise.items()}
    plain = infer(ema, {"labels": label}, noise)["image"]
    short = infer(ema, {"labels": label, "truncation": psi}, noise)["image"]
    assert_allclose(short[0], plain[0], atol=1e-5)
    assert_allclose(short[2], short[3], atol=1e-6)  # the mean of their class
    assert np.abs(short[1] - short[2]).max() > 1e-5


def test_donors(done):
    """Surfaces are the start of one class to the last parameter, of several but for the labels."""
    surfaces = make(small(), ONE)
    spec = batch_of(small(), surfaces.reads)
    given = drawn_state(surfaces, spec, seed=5)
    donor = Donor("stylegan2", CLASSES, {n: x.params for n, x in given.nets.items()}, given.ema)
    one = make(small(data__learn="defects"), ONE)
    state = drawn_state(one, done.batch, seed=1)
    adopted = one.adopt(state, donor)
    for name in ("G", "D"):
        assert not moved(adopted.nets[name], given.nets[name])
    adopted = done.method.adopt(done.states["start"], donor)
    for net, part in (("G", "synthesis"), ("D", "b8")):
        ours, theirs = (s.nets[net].params["params"][part] for s in (adopted, given))
        assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))
    own = done.states["start"].nets["G"].params["params"]["mapping"]["embed"]
    assert_array_equal(
        leaves_of(adopted.nets["G"].params["params"]["mapping"]["embed"])[0], leaves_of(own)[0]
    )
    with pytest.raises(ConfigError, match="starts from runs of method=stylegan2 only"):
        one.adopt(state, donor._replace(method="another"))
    for field, value in (("data__res", 16), ("data__channels", 3)):
        other = make(small(**{field: value}), ONE)
        state = jax.eval_shape(lambda key, other=other: other.init(key, spec), jax.random.key(0))
        with pytest.raises(
            ConfigError, match=r"init.workdir: .* there and .* here; use a run with"
        ):
            other.adopt(state, donor)


def leaves_of(tree):
    return jax.tree.leaves(tree)


def test_broken_gradients_do_not_break_the_networks(done):
    """A NaN in the images counts as no gradient."""
    start = done.states["start"]
    d = jax.tree.map(lambda x: x, start.nets["D"])
    d.params["params"]["out"]["bias"] = d.params["params"]["out"]["bias"] * jnp.nan
    state, _ = jax.jit(run_of(done.method, "g"))(
        start._replace(nets=start.nets | {"D": d}), done.batch
    )
    assert all(np.all(np.isfinite(x)) for x in leaves(state.nets["G"]))


def test_all_of_the_state_is_restored(done, tmp_path):
    """To the bit: p, its statistic, the path length's mean and the means of w included."""
    m = StyleGAN2(small(augment__start=0.25), ONE)
    extra = {name: x + 0.125 for name, x in m.extra().items()}
    state = done.states["g"]._replace(extra=extra)
    assert {"p", "signs", "seen", "pl_mean"} == set(state.extra)
    store = Checkpoints(tmp_path)
    store.save(0, state, {"position": None}, to_dict(done.config))
    store.wait()
    restored, _ = store.restore(
        jax.eval_shape(lambda: state), sharding.replicated(sharding.make_mesh())
    )
    store.close()
    keys = (jax.random.key_data(s.rng) for s in (state, restored))
    assert_array_equal(*keys)
    pairs = (s._replace(rng=0) for s in (state, restored))
    assert jax.tree.all(jax.tree.map(np.array_equal, *pairs))


def test_bfloat16_learns_like_float32(done):
    config = done.config.copy_and_resolve_references()
    config.dtype = "bfloat16"
    method = make(config, CLASSES[:3])
    state, losses = jax.jit(run_of(method, "d"))(done.states["start"], done.batch)
    assert_allclose(losses["loss/D"], done.losses["d"]["loss/D"], rtol=0.02)
    flat = [
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(s.nets["D"].opt_state[0].mu)])
        for s in (state, done.states["d"])
    ]
    assert np.dot(*flat) / np.prod([np.linalg.norm(x) for x in flat]) > 0.99
    assert all(x.dtype == np.float32 for x in leaves(state.nets["D"]))


def test_recipes():
    for arg in ("", "quick", "diffaug", "finetune", "res=512", "learn=defects"):
        config = cli.read_config(f"configs/stylegan2.py:{arg}")
        validate(config)
    config = cli.read_config("configs/stylegan2.py:res=256")
    assert config.data.batch_size == 16
    m = StyleGAN2(config, ONE)
    assert_allclose(m.gamma, 0.8192)
    low = cli.read_config("configs/stylegan2.py:diffaug")
    assert low.augment.kind == "diffaug" and "ada" not in [p.name for p in make(low, ONE).phases]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.res", 96, "data.res=96 is not one of 32, 64, 128, 256, 512"),
        ("data.learn", "all", "data.learn='all' is not one of normals, defects"),
        ("data.batch_size", 6, "data.batch_size=6 is not divisible by .*; use 4"),
        ("model.base", 8, "model.base=8 gives no channels at 64 px; use 1024 or more, or 0"),
        ("model.latent", 0, "model.latent=0 is below 1"),
        ("augment.kind", "adda", "did you mean 'ada'"),
        ("augment.kimg", 0.0, "the paper's are 0.6 and 500"),
        ("optim.mixing", 1.5, "optim.mixing=1.5 is no chance"),
        ("optim.r1_every", 0, "optim.r1_every=0 is below 1"),
        ("optim.b2", 1.0, "optim.b2=1.0 is not below 1"),
    ],
)
def test_bad_values_get_one_line(field, value, message):
    assert re.search(message, refusal("stylegan2", field, value))
