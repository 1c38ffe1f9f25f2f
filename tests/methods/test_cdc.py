"""Pins CDC: relations to the source, anchors, whole images and patches by turns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dtgan.config import ConfigError
from dtgan.data.procedural import CLASSES
from dtgan.methods.base import Donor
from dtgan.methods.cdc import CDC, make
from dtgan.methods.stylegan2 import make as make_surfaces
from dtgan.models import cdc
from dtgan.sampling import requests
from tests.methods.test_stylegan2 import OWN, changes, drawn_state, one_step, small

ONE = CLASSES[:2]


@pytest.fixture(scope="module")
def done():
    return one_step(small("cdc"), ONE, make, ())


def test_each_phase_changes_its_own_network_and_the_source_stays(done):
    for name, parts in OWN.items():
        assert changes(done, name) == parts, name


def test_the_relation_is_to_the_source(done):
    """It is 0 where G is the source and no noise is added, and positive elsewhere."""
    m, start = CDC(done.config, ONE), done.states["start"]
    source = start.extra["source"] | {}
    own = start.nets["G"].params
    key = m.key(start, "g")
    relation = jax.jit(lambda own, source: m.relation(own, source, key))
    silent = jax.tree_util.tree_map_with_path(
        lambda path, x: 0 * x if "noise" in jax.tree_util.keystr(path) else x, own
    )
    assert abs(float(relation(silent, silent))) < 1e-7
    moved = jax.tree.map(lambda x: x + 0.5 * jnp.sin(jnp.arange(x.size)).reshape(x.shape), silent)
    assert float(relation(silent, moved)) > 1e-5
    assert jax.tree.structure(source) == jax.tree.structure(own)


def test_whole_images_near_anchors_and_patches_by_turns(done):
    m, start = CDC(done.config, ONE), done.states["start"]
    anchors = jnp.asarray(np.random.default_rng(0).standard_normal((10, 8)), jnp.float32)
    g, real, ws = start.nets["G"].params, jnp.zeros((4, 8, 8, 1)), jnp.full((4, 4, 8), 7.0)
    for step, whole in ((0, True), (1, False), (3, False), (4, True)):
        state = start._replace(step=jnp.int32(step), extra=start.extra | {"anchors": anchors})
        found = m.near_anchors(state, g, m.key(state, "d"), real, ws)
        assert np.array_equal(found, ws) != whole
        judged = [jnp.full(4, 2.0), jnp.full((4, 2, 2, 1), -3.0)]
        expected = np.log1p(np.exp(-2.0)) if whole else np.log1p(np.exp(3.0))
        np.testing.assert_allclose(m.g_total(state, judged), expected, rtol=1e-5)


def test_what_the_patch_head_reads():
    """At 128 px the 32 x 32 pixels of the block at 64, and every layer of G but constants."""
    m = CDC(small("cdc", data__res=128, model__base=512), ONE)
    x = jnp.zeros((1, 128, 128, 1))

    def seen(key):
        return cdc.judge(m.D, m.D.init(key, x), x)[1]

    assert jax.eval_shape(seen, jax.random.key(0)).shape == (1, 32, 32, 4)

    def features(key):
        z = jnp.zeros((1, 8))
        return cdc.features(m.G, m.G.init(key, z), jnp.zeros((1, m.G.slots, 8)), None)

    sides = [x.shape[1] for x in jax.eval_shape(features, jax.random.key(0))]
    assert sides == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128] and m.G.slots == 12


def test_a_run_of_surfaces_is_source_and_start(done):
    surfaces = make_surfaces(small(), ONE)
    given = drawn_state(surfaces, {"normal": np.zeros((8, 8, 8, 1), np.uint8)}, seed=5)
    nets = {name: net.params for name, net in given.nets.items()}
    start = done.states["start"]
    state = done.method.adopt(start, Donor("stylegan2", ONE, nets, given.ema))
    for found in (state.nets["G"].params, state.extra["source"]):
        assert jax.tree.all(jax.tree.map(np.array_equal, found, nets["G"]))
    assert jax.tree.all(jax.tree.map(np.array_equal, state.nets["D"].params["whole"], nets["D"]))
    head = (s.nets["D"].params["head"]["params"]["kernel"] for s in (state, start))
    assert_array_equal(*head)


def test_one_class_a_run():
    with pytest.raises(ConfigError, match="train and use a run of one class"):
        requests.check_classes(make(small("cdc"), CLASSES), "cdc", CLASSES[1:])
