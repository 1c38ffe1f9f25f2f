"""Pins the converter: the entries it keeps, their names, and what it refuses, in one line."""

import builtins
import hashlib
import itertools
import json

import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.weights import convert, published
from tests import goldens

GOLDEN = {"inception": "inception_fid"} | {n: f"lpips_{n}" for n in convert.WITHOUT_HEAD}


def blank(network):
    """The state dict of a network's golden keys, as torchvision has it, all zero."""
    shapes = json.loads((goldens.FOLDER / f"{GOLDEN.get(network, network)}_keys.json").read_text())
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def torchvision(state):
    """LPIPS names -> those of torchvision, with a classifier that LPIPS has not."""
    features = {k.split(".", 2)[2]: v for k, v in state.items() if k.startswith("net.")}
    return {f"features.{k}": v for k, v in features.items()} | {
        "classifier.1.weight": np.zeros((1000, 4), np.float32)
    }


def test_every_published_network_has_a_signature():
    assert convert.SIGNATURES.keys() == published.PUBLISHED.keys()


@pytest.mark.parametrize(
    "network", ["inception", "resnet18", "resnet34", "resnet50", "densenet121"]
)
def test_keeps_all_but_the_counters(network):
    state = blank(network)
    expected = {name for name in state if not name.endswith("num_batches_tracked")}
    assert len(expected) < len(state)
    kept = convert.select(state, network)
    assert kept.keys() == expected
    assert all(kept[name] is state[name] for name in kept)


@pytest.mark.parametrize("network", convert.WITHOUT_HEAD)
def test_lpips_backbones_keep_features(network):
    state = blank(network)
    own, lpips = convert.select(torchvision(state), network), convert.select(state, network)
    assert own.keys() == lpips.keys() and all(name.startswith("features.") for name in own)
    assert {name: a.shape for name, a in own.items()} == {n: a.shape for n, a in lpips.items()}


def test_names_of_lpips():
    kept = convert.select(blank("squeeze"), "squeeze")
    assert "features.3.squeeze.weight" in kept and "features.12.expand3x3.bias" in kept


def test_names_of_the_published_densenet():
    """The file of 2017 has dots where torchvision today has none."""
    state = blank("densenet121")
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2")
        .replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name else name: array
        for name, array in state.items()
    }  # fmt: skip
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert convert.select(old, "densenet121").keys() == convert.select(state, "densenet121").keys()


@pytest.mark.parametrize(("given", "network"), itertools.permutations(published.PUBLISHED, 2))
def test_other_networks_are_refused(given, network):
    with pytest.raises(ConfigError, match=f"not that of {network}"):
        convert.select(blank(given), network)


def test_wrong_first_kernel():
    state = blank("resnet18") | {"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}
    with pytest.raises(ConfigError, match=r"conv1.weight is \(64, 1, 7, 7\).*\(64, 3, 7, 7\)"):
        convert.select(state, "resnet18")


def refused(capsys, *args):
    """The one line with which the command ends."""
    with pytest.raises(SystemExit) as end:
        convert.main([*args])
    assert isinstance(end.value.code, str), "a message: the exit code is 1"
    message = end.value.code
    assert message.startswith("error: ") and "\n" not in message
    assert capsys.readouterr() == ("", "")
    return message


@pytest.fixture
def arguments(tmp_path):
    source = tmp_path / "x.pth"
    source.write_bytes(b"not a PyTorch file")
    return ["--network=alex", f"--source={source}", f"--out={tmp_path / 'x.safetensors'}"]


def test_bad_arguments(capsys, tmp_path, arguments):
    _, source, out = arguments
    assert "'alexnet' (choose from 'inception', 'alex'" in refused(
        capsys, "--network=alexnet", source, out
    )
    assert "required: --out" in refused(capsys, *arguments[:2])
    missing = f"--source={tmp_path / 'missing.pth'}"
    assert published.PUBLISHED["alex"].file in refused(capsys, arguments[0], missing, out)


def test_other_source(capsys, arguments):
    found = hashlib.sha256(b"not a PyTorch file").hexdigest()
    message = refused(capsys, *arguments)
    assert f"SHA-256 {found}" in message and "begins with 7be5be79" in message
    assert "--any_source" in message


def test_without_torch(capsys, arguments, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'dtgan[torch]'" in refused(capsys, *arguments, "--any_source")


def test_damaged_file(capsys, tmp_path, arguments):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pth"
    for content in (b"", b"not a PyTorch file", b"\x80\x02}q\x00."):
        path.write_bytes(content)
        assert "x.pth is damaged or" in refused(capsys, *arguments, "--any_source")
    torch.save({"features.0.weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "x.pth is damaged or" in refused(capsys, *arguments, "--any_source")
    for value in ([torch.zeros(1)], {"state_dict": {"a": torch.zeros(1)}}):
        torch.save(value, path)
        assert "x.pth is damaged or" in refused(capsys, *arguments, "--any_source")
    assert not (tmp_path / "x.safetensors").exists()


def test_converts(capsys, tmp_path, arguments, monkeypatch):
    torch = pytest.importorskip("torch")
    source, out = tmp_path / "x.pth", tmp_path / "x.safetensors"
    state = torchvision(goldens.state("lpips_alex"))
    torch.save({k: torch.nn.Parameter(torch.tensor(v)) for k, v in state.items()}, source)
    convert.main([*arguments, "--any_source"])
    with pytest.raises(ConfigError, match="were made from a file with SHA-256"):
        published.read(out, "alex")

    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    monkeypatch.setitem(published.PUBLISHED, "alex", published.Published("x.pth", sha256[:8]))
    convert.main(arguments)
    read, digest = published.read(out, "alex")
    assert read.keys() == {name for name in state if name.startswith("features.")}
    for name, array in read.items():
        np.testing.assert_array_equal(array, state[name], strict=True)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("alex: 10 arrays, 9.9 MB") and digest in line and str(out) in line


def test_unwritable_output(capsys, tmp_path, arguments, monkeypatch):
    state = torchvision(blank("alex"))
    monkeypatch.setattr(convert, "load_pth", lambda source: state)
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "x"
    message = refused(capsys, *arguments[:2], f"--out={out}", "--any_source")
    assert str(out.parent) in message
