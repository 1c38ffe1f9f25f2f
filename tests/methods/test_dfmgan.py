"""Pins DFMGAN's second stage: who learns what, masks, twins, seeds, its backbone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import cli
from dtgan.config import ConfigError, base_config, shrink, validate
from dtgan.data.procedural import CLASSES
from dtgan.methods import stylegan2
from dtgan.methods.base import Donor
from dtgan.methods.dfmgan import DFMGAN, make
from dtgan.sampling import requests
from dtgan.training.loop import train_and_evaluate
from tests.methods.families import assert_same_step, on_eight_devices, refusal, run_of
from tests.methods.test_stylegan2 import OWN, changes, drawn_state, one_step, small

SEVERAL = CLASSES[:3]


@pytest.fixture(scope="module")
def done():
    config = small("dfmgan", augment__kind="none", model__first=8)
    return one_step(config, SEVERAL, make, ("g", "match"))


def gradients(step, phase, net):
    """{parameter: largest second moment of its gradient} after one step of Adam."""
    moments = step.states[phase].nets[net].opt_state[0].nu["params"]
    return {
        jax.tree_util.keystr(path): float(jnp.abs(x).max())
        for path, x in jax.tree_util.tree_leaves_with_path(moments)
    }


def test_a_step_runs_its_phases_in_order_and_rhythm():
    phases = make(small("dfmgan"), CLASSES).phases

    def due(step):
        return [phase.name for phase in phases if phase.due(step)]

    assert due(0) == ["g", "g_reg", "d", "d_reg", "match", "match_reg", "ema"]
    assert due(3) == ["g", "d", "match", "ema", "ada"]


def test_the_backbone_stays_and_each_phase_changes_its_own_network(done):
    match = {name: {"nets/D_match"} for name in ("match", "match_reg")}
    for name, parts in (OWN | match).items():
        assert changes(done, name) == parts, name
    start, after = (done.states[name].ema["w_avg"] for name in ("start", "g"))
    assert_array_equal(start["mapping"], after["mapping"])
    assert np.any(after["defect_mapping"])
    own = done.states["start"].nets["G"].params["params"]
    assert set(own) == {"res8", "to_mask", "defect_mapping"}


def test_every_part_for_defects_learns(done):
    assert all(x > 0 for x in gradients(done, "g", "G").values())
    assert all(x > 0 for x in gradients(done, "match", "D_match").values())


def test_images_without_masks_are_left_out_of_d_match(done):
    m = DFMGAN(done.config, SEVERAL)
    has = np.array([0, 1, 0, 0, 1, 1, 0, 0], bool)
    batch = done.batch | {"has_mask": has}
    pairs, label, there = m.real_pairs(batch)
    assert there == 1 and set(np.unique(pairs[..., -1])) == {-1, 1}
    taken = np.array([1, 4, 5, 1, 4, 5, 1, 4])
    assert_allclose(pairs[..., :-1], m.inputs(batch)[0][taken])
    assert_array_equal(pairs[..., -1:] > 0, batch["mask"][taken] > 127)
    assert_array_equal(label, batch["label"][taken] - 1)
    *_, there = m.real_pairs(batch | {"has_mask": np.zeros(8, bool)})
    assert there == 0


def test_one_and_eight_devices_give_the_same_gradients(done):
    spread, found, hlo = on_eight_devices(
        run_of(done.method, "match"), done.states["start"], done.batch
    )
    assert_same_step(
        (done.states["match"], done.losses["match"]), (spread, found), ("D_match",), atol=1e-6
    )
    assert "all-reduce" in hlo


def test_objects_and_defects_have_seeds_of_their_own(done):
    method, ema = done.method, done.states["g"].ema
    noise = method.draw_noise(jax.random.key(1), 4)
    request = {
        "labels": requests.one_hot(SEVERAL, np.array([1, 1, 1, 2])),
        "object_seed": np.array([5, 5, 6, 5], np.int32),
        "defect_seed": np.array([1, 2, 1, 1], np.int32),
    }
    infer = jax.jit(method.infer)
    drawn = infer(ema, request, noise)
    for row in (1, 3):
        assert_allclose(drawn["clean"][0], drawn["clean"][row], atol=1e-6)
        assert np.abs(drawn["image"][0] - drawn["image"][row]).max() > 1e-3
    assert np.abs(drawn["clean"][0] - drawn["clean"][2]).max() > 1e-3
    assert set(np.unique(drawn["mask"])) <= {0, 1}
    own = ema["G"]["params"]
    nowhere = own | {"to_mask": own["to_mask"] | {"bias": jnp.array([-300.0])}}
    drawn = infer(ema | {"G": {"params": nowhere}}, request, noise)
    assert not np.any(drawn["mask"])
    assert_array_equal(drawn["image"], drawn["clean"])


def test_the_backbone_is_a_run_of_surfaces(done):
    surfaces = stylegan2.make(small(), SEVERAL)
    spec = {"normal": np.zeros((8, 8, 8, 1), np.uint8)}
    given = drawn_state(surfaces, spec, seed=5)
    nets = {name: net.params for name, net in given.nets.items()}
    donor = Donor("stylegan2", CLASSES, nets, given.ema)
    state = done.method.adopt(done.states["start"], donor)
    assert jax.tree.all(
        jax.tree.map(np.array_equal, state.ema["backbone"], given.ema["G"]["params"])
    )
    trunk = (s.nets["D"].params["params"]["b8"] for s in (state, given))
    assert jax.tree.all(jax.tree.map(np.array_equal, *trunk))
    with pytest.raises(ConfigError, match="starts from runs of method=stylegan2 only"):
        done.method.adopt(state, donor._replace(method="dfmgan"))
    for field, value in (("data__res", 16), ("data__channels", 3)):
        other = make(small("dfmgan", model__first=8, **{field: value}), SEVERAL)
        whole = jax.eval_shape(lambda key, m=other: m.init(key, None), jax.random.key(0))
        with pytest.raises(ConfigError, match=r"running mean of G.* there and .* here; use a run"):
            other.adopt(whole, donor)


def test_a_run_without_a_backbone_is_refused(tmp_path):
    config = base_config("dfmgan")
    shrink(config)
    config.data.batch_size = 8  # one for each of the devices
    with pytest.raises(ConfigError, match=r"starts from a finished run .* --config.init.workdir"):
        train_and_evaluate(config, tmp_path / "run")


def test_recipes():
    """Both stages of a recipe fit each other, and the first is that of its own file."""
    for arg in ("", "quick", "res=128"):
        first, second = (cli.read_config(f"configs/dfmgan.py:stage={k},{arg}") for k in (1, 2))
        own = cli.read_config(f"configs/stylegan2.py:{arg}")
        validate(second)
        assert first == own and second.method == "dfmgan"
        for name in ("base", "cap", "latent", "mapping"):
            assert first.model[name] == second.model[name]
    with pytest.raises(ConfigError, match="stage=3 is not 1"):
        cli.read_config("configs/dfmgan.py:stage=3")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.learn", "normals", "data.learn='normals' is not one of defects"),
        ("model.first", 24, "model.first=24 is not one of 8, 16, 32, 64"),
        ("model.match_cap", 0, "give no channels at 64 px"),
        ("loss.ms", -1.0, "loss.ms=-1.0 is negative"),
    ],
)
def test_bad_values_get_one_line(field, value, message):
    assert re.search(message, refusal("dfmgan", field, value))
