"""Pins the contract of methods/base.py for every family, toys included, through the same code."""

import jax
import numpy as np
import pytest

from dtgan import sharding
from dtgan.config import ConfigError, base_config, diff, shrink, to_dict, validate
from dtgan.data import pipeline
from dtgan.data.procedural import CLASSES
from dtgan.exporting import files, networks
from dtgan.methods.registry import METHODS, abstract_state, make_method
from dtgan.runs.checkpoints import Checkpoints
from dtgan.sampling import requests, sampler
from dtgan.training import programs
from tests.methods import toys
from tests.smoke import FAMILY

NAMES = [*METHODS, *toys.TOYS]
SIZE = {"image": "C", "rec": "C", "clean": "C", "removed": "C", "mask": 1}


@pytest.fixture(scope="module", autouse=True)
def with_toys():
    with toys.registered():
        yield


@pytest.fixture(scope="module", params=NAMES)
def family(request):
    """(config, Method) of a family, small."""
    config = base_config(request.param)
    shrink(config)
    config.data.batch_size = 8
    validate(config, 8)
    return config, make_method(config, CLASSES)


@pytest.fixture(scope="module")
def state(family):
    """The GanState of step 0 on the host, its means moved off their start: some begin at 0."""
    config, method = family
    state = jax.device_get(programs.init_state(method, config, sharding.make_mesh()))

    def move(x):
        return (x + 0.05 * np.cos(np.arange(x.size)).reshape(x.shape)).astype(x.dtype)

    return state._replace(ema=jax.tree.map(move, state.ema))


@pytest.fixture(scope="module")
def drawer(family, state):
    """A Sampler of untrained parameters."""
    config, method = family
    return sampler.Sampler(config, CLASSES, 0, state.ema, method)


def request_of(method, num, names=()):
    """A random request for what a method needs, or for `names`."""
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (num, 32, 32, 1), np.uint8),
        "normal": rng.integers(0, 256, (num, 32, 32, 1), np.uint8),
        "mask": np.uint8(255) * (rng.random((num, 32, 32, 1)) < 0.2),
        "label": rng.integers(1, len(CLASSES), num),
    }
    return requests.of_pairs(names or method.needs, CLASSES, batch)


def test_fields_are_of_the_known_words(family):
    _, method = family
    assert set(method.reads) <= set(pipeline.READS)
    assert {*method.needs, *method.controls} <= set(requests.FIELDS)
    assert method.gives[0] == "image" and set(method.gives) <= set(SIZE)
    names = [phase.name for phase in method.phases]
    assert len(set(names)) == len(names)
    assert all(0 <= phase.at < phase.every for phase in method.phases)
    assert "clean" in method.gives or not method.keeps_surface


def test_phases_keep_the_state_and_count_nothing(family):
    config, method = family
    state, spec = (
        abstract_state(method, config),
        pipeline.batch_spec(config, method.reads),
    )
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
    for phase in method.phases:
        new, losses = jax.eval_shape(phase.run, state, spec)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == shapes, phase.name
        for name, value in losses.items():
            assert name.startswith("loss/") and (value.shape, value.dtype) == ((), np.float32)


def test_a_step_runs_the_phases_that_are_due_and_counts_once(family):
    config, method = family
    calls = []

    def recorder(name):
        def program(state, batch):
            calls.append(name)
            return state, {f"loss/{name}": 0.0}

        return program

    step = programs.Programs.__new__(programs.Programs)
    step.phases, step.compiled = method.phases, {p.name: recorder(p.name) for p in method.phases}
    step._count = lambda number: number + 1
    state = abstract_state(method, config)._replace(step=0)
    for number in range(32):
        calls.clear()
        state, losses = step.step(state, None, number)
        due = [p.name for p in method.phases if number % p.every == p.at]
        assert calls == due and set(losses) == {f"loss/{name}" for name in due}
    assert state.step == 32


def test_infer_gives_what_it_promises(family, drawer):
    _, method = family
    request = request_of(method, 3, requests.in_full(method))
    drawn = drawer(request, 0, np.arange(3))
    assert set(drawn) == set(method.gives)
    without = {name: request[name] for name in method.needs}
    alone = set() if "defect" in without else {"rec", "removed"}
    assert set(drawer(without, 0, np.arange(3))) == set(method.gives) - alone
    for name, array in drawn.items():
        assert array.shape == (3, 32, 32, 1) and array.dtype == np.float32
        assert np.all(np.isfinite(array)), name
    if "mask" in drawn:
        assert drawn["mask"].min() >= 0 and drawn["mask"].max() <= 1
    if method.keeps_surface:
        outside = np.broadcast_to(drawn["mask"] == 0, drawn["image"].shape)
        np.testing.assert_array_equal(drawn["image"][outside], drawn["clean"][outside])


def test_noise_has_a_row_for_every_image(family):
    _, method = family
    for name, array in method.draw_noise(jax.random.key(0), 3).items():
        assert isinstance(name, str) and array.shape[0] == 3 and array.dtype == np.float32


def test_an_image_depends_on_its_own_request_and_number_alone(family, drawer):
    """In another place, among other images, in a batch of another size it is the same."""
    _, method = family
    request, numbers = request_of(method, 4, requests.in_full(method)), np.array([5, 0, 9, 7])
    whole, order = drawer(request, 3, numbers), np.array([2, 0, 0, 1, 3])
    mixed = drawer({name: x[order] for name, x in request.items()}, 3, numbers[order])
    for name in method.gives:
        np.testing.assert_allclose(mixed[name], whole[name][order], atol=1e-5)
    if method.noise:
        same = {name: x[[0, 0]] for name, x in request.items()}
        images = drawer(same, 3, [5, 6])["image"]
        assert np.abs(images[0] - images[1]).max() > 1e-4
        np.testing.assert_allclose(images[0], whole["image"][0], atol=1e-5)


def test_a_request_is_checked(family, drawer):
    config, method = family
    request = request_of(method, 2)
    with pytest.raises(ConfigError, match=f"method={config.method} has no control 'strenght'"):
        drawer({**request, "strenght": np.ones(2, np.float32)})
    for name in method.needs:
        rest = {key: value for key, value in request.items() if key != name}
        with pytest.raises(ConfigError, match=f"method={config.method} needs '{name}'"):
            drawer(rest)
    if not method.needs:
        with pytest.raises(ConfigError, match="needs no request; say which images by numbers"):
            drawer({})


def test_a_checkpoint_alone_gives_the_sampler(family, state, drawer, tmp_path):
    config, _ = family
    store, data = Checkpoints(tmp_path), {"classes": list(CLASSES), "position": None}
    store.save(3, state, data, to_dict(config))
    store.close()
    loaded = sampler.load(tmp_path)
    assert loaded.step == 3 and loaded.classes == CLASSES
    assert diff(loaded.config, config) == {}
    assert jax.tree.structure(loaded.ema) == jax.tree.structure(drawer.ema)
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded.ema, drawer.ema))


def test_the_generator_is_exported(family, drawer, tmp_path):
    """In every format; a solver that is not learned may refuse ONNX, which has no such loops."""
    pytest.importorskip("onnxruntime")
    config, method = family
    network = networks.generator(drawer)
    for kind in ("stablehlo", "safetensors"):
        assert files.write(network, tmp_path, kind)["difference"] <= 1e-5
    if config.method == FAMILY:
        return  # tests/exporting
    try:
        assert files.write(network, tmp_path, "onnx")["difference"] <= 1e-5
    except ConfigError as error:
        assert not method.phases and "no ONNX form is known" in str(error)


def test_optional_parts_are_what_they_say(family, drawer):
    config, method = family
    image = np.zeros((2, 32, 32, 1), np.uint8)
    state = abstract_state(method, config)
    if method.score:
        batch = pipeline.batch_spec(config, method.reads)
        value = jax.eval_shape(method.score, state.ema, batch, jax.random.key(0))
        assert (value.shape, value.dtype) == ((), np.float32)
    if method.classify:
        logits = jax.eval_shape(method.classify, state.nets, image)
        assert logits.shape == (2, len(CLASSES))
    if method.codes:
        assert set(drawer.codes(image)) == {"structure", "texture"}
    else:
        with pytest.raises(ConfigError, match="has no codes"):
            drawer.codes(image)
        with pytest.raises(ConfigError, match="has no encoder to export"):
            networks.encoder(drawer)
