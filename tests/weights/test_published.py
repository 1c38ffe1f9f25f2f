"""Pins dtgan.weights: what is written is read back, every other file is refused by its reason."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.weights import published

STATE = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
    "steps": np.array(7, np.int64),
}
PUBLISHED = published.PUBLISHED["resnet18"].sha256


class Net(nn.Module):
    """One layer of each kind, named with dots like those of a state dict."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (2, 3), name="layer1.0")(x)
        x = nn.BatchNorm(use_running_average=True, name="layer1.1")(x)
        return nn.Dense(5, name="fc")(jnp.mean(x, axis=(1, 2)))


def abstract():
    return jax.eval_shape(Net().init, jax.random.key(0), jnp.zeros((1, 6, 6, 3)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "w.safetensors"


def test_round_trip(path):
    digest = published.write(path, STATE, "net", source="a.pth")
    state, found = published.read(path, "net")
    assert found == digest == published.digest(STATE)
    assert state.keys() == STATE.keys()
    for name, array in STATE.items():
        assert state[name].dtype == array.dtype
        np.testing.assert_array_equal(state[name], array, strict=True)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_overwrites(path):
    published.write(path, STATE, "net")
    digest = published.write(path, {"a": np.zeros(3, np.float32)}, "net")
    assert published.read(path, "net")[1] == digest


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.zeros(2, np.float32)},
        {"a": np.ones(2, np.float32)},
        {"a": np.zeros((2, 1), np.float32)},
        {"a": np.zeros(2, np.int32)},
    ],
    ids=["name", "value", "shape", "type"],
)
def test_digest_sees(other):
    assert published.digest(other) != published.digest({"a": np.zeros(2, np.float32)})


def test_digest_ignores_order():
    assert published.digest(dict(reversed(STATE.items()))) == published.digest(STATE)


def test_missing_file_names_how_to_get_it(path):
    known = published.PUBLISHED["resnet18"]
    with pytest.raises(ConfigError, match=f"do not exist.*{known.file}.*{known.sha256}.*convert"):
        published.read(path, "resnet18")


def test_damaged_value(path):
    published.write(path, STATE, "net")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        published.read(path, "net")


@pytest.mark.parametrize("length", [0, 20, -1])
def test_truncated_file(path, length):
    published.write(path, STATE, "net")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ConfigError, match="no safetensors file"):
        published.read(path, "net")


def test_file_without_our_metadata(path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.parent.mkdir()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ConfigError, match="the file says nothing"):
        published.read(path, "net")


def test_other_network(path):
    published.write(path, STATE, "resnet34")
    with pytest.raises(ConfigError, match="'resnet34', needed is 'resnet18'"):
        published.read(path, "resnet18")


@pytest.mark.parametrize("source", [{}, {"source_sha256": "0" * 64}])
def test_other_source(path, source):
    digest = published.write(path, STATE, "resnet18", **source)
    with pytest.raises(ConfigError, match=f"the published one begins with {PUBLISHED}"):
        published.read(path, "resnet18")
    assert published.read(path, "resnet18", sha256=digest)[1] == digest


def test_published_source(path):
    digest = published.write(path, STATE, "resnet18", source_sha256=PUBLISHED + "0" * 56)
    assert published.read(path, "resnet18")[1] == digest


def test_other_digest(path):
    digest = published.write(path, STATE, "net")
    with pytest.raises(ConfigError, match=f"SHA-256 {digest}, asked for was {'0' * 64}"):
        published.read(path, "net", sha256="0" * 64)


def test_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        published.write(tmp_path / "file" / "w.safetensors", STATE, "net")


def test_layouts():
    variables = Net().init(jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
    state = published.from_variables(variables)
    assert {name: array.shape for name, array in state.items()} == {
        "layer1.0.weight": (4, 3, 2, 3),
        "layer1.0.bias": (4,),
        "layer1.1.weight": (4,),
        "layer1.1.bias": (4,),
        "layer1.1.running_mean": (4,),
        "layer1.1.running_var": (4,),
        "fc.weight": (5, 4),
        "fc.bias": (5,),
    }
    kernel = variables["params"]["layer1.0"]["kernel"]
    np.testing.assert_array_equal(state["layer1.0.weight"][3, 2, 1, 0], kernel[1, 0, 2, 3])
    back = published.to_variables(state | {"unused": np.zeros(1)}, abstract())
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_missing_entry():
    state = published.from_variables(jax.tree.map(lambda x: np.zeros(x.shape), abstract()))
    del state["layer1.1.running_var"]
    with pytest.raises(ConfigError, match=r"lack 'layer1\.1\.running_var'"):
        published.to_variables(state, abstract())


def test_wrong_shape():
    state = published.from_variables(jax.tree.map(lambda x: np.zeros(x.shape), abstract()))
    state["fc.weight"] = np.zeros((7, 4))
    with pytest.raises(ConfigError, match=r"'fc.weight' of shape \(4, 7\), needed is \(4, 5\)"):
        published.to_variables(state, abstract())


def test_the_same_content_is_the_same_bytes(path):
    """The library writes metadata in an order of chance; ten entries have 3.6 million of them."""
    about = {f"name {k}": f"Größe {k}" for k in range(10)}
    published.write(path, STATE, "net", **about)
    content = path.read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    published.write(path, STATE, "net", **dict(reversed(about.items())))
    assert path.read_bytes() == content
    found = published.metadata(path)
    assert {name: found[name] for name in about} == about
    read, _ = published.read(path, "net", found["sha256"])
    assert all(np.array_equal(read[name], STATE[name]) for name in STATE)
