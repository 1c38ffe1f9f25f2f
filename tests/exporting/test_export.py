"""Pins the binary: every network in every format, as its own reader sees it, and bad input."""

import json

import jax
import numpy as np
import pytest

from dtgan import export
from dtgan.exporting import files, networks
from dtgan.images import to_float
from dtgan.models import backbones
from dtgan.sampling.sampler import load
from dtgan.weights import published

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(smoke_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    flags = ["--what=generator,encoder", "--format=stablehlo,safetensors,onnx"]
    args = [f"--workdir={smoke_run}", f"--out={out}", "--compilation_cache=", *flags]
    assert export.main(args) == 0
    return out


def pictures(n=2):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (n, 32, 32, 1), np.uint8) for _ in range(2)]


def test_the_description_says_what_the_files_take_and_give(exported):
    for name in ("generator", "encoder"):
        described = json.loads((exported / f"{name}.json").read_text())
        assert described["classes"][0] == "normal" and described["network"] == "layered"
        image = {"shape": ["batch", 32, 32, 1], "dtype": "uint8"}
        if name == "generator":
            assert list(described["inputs"]) == ["defect", "surface", "strength"]
            assert described["inputs"]["defect"] == described["inputs"]["surface"] == image
        else:
            assert described["inputs"] == {"image": image}
        for kind, file in described["files"].items():
            assert (exported / file["file"]).stat().st_size == file["bytes"]
            assert file["difference"] <= files.TOLERANCE, kind


def test_the_generator_draws_what_the_sampler_draws(exported, smoke_run):
    import onnxruntime
    from jax import export as jax_export

    x1, x2 = pictures()
    strength = np.array([0.5, 30.0], np.float32)
    request = {"defect": x1, "surface": x2, "strength": strength}
    expected = load(smoke_run)(request)
    program = jax_export.deserialize(bytearray((exported / "generator.stablehlo").read_bytes()))
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    session = onnxruntime.InferenceSession(str(exported / "generator.onnx"))
    names = [output.name for output in session.get_outputs()]
    assert sorted(names) == ["clean", "image", "mask"]
    onnx = dict(zip(names, session.run(names, request), strict=True))
    for found in (program.call(x1, x2, strength), onnx):
        for name in names:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


def test_a_file_that_computes_something_else_is_refused(tmp_path):
    params = {"w": np.ones(3, np.float32)}
    network = networks.Network(
        *("net", lambda params, x: {"y": x * params["w"][None]}, params),
        *({"x": ((3,), np.float32)}, params, lambda state: state, {"network": "net"}),
    )
    assert files.write(network, tmp_path, "safetensors")["difference"] == 0
    wrong = network._replace(restore=lambda state: {"w": state["w"] * 1.1})
    with pytest.raises(ValueError, match="computes something else"):
        files.write(wrong, tmp_path, "safetensors")


@pytest.fixture(scope="module")
def verdict(tmp_path_factory):
    """A directory like that of a verdict, with an untrained classifier."""
    out = tmp_path_factory.mktemp("verdict")
    module = backbones.make("resnet18", 3)
    variables = jax.jit(module.init)(jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32))
    about = {"classes": '["normal", "a", "b"]', "res": "32", "channels": "1"}
    about |= {"image_channels": "1", "normalised": "false", "multi_label": "false"}
    state = published.from_variables(variables)
    published.write(out / "classifiers" / "real.safetensors", state, "resnet18", **about)
    return out, module, variables


def test_a_classifier_keeps_torchvisions_names(verdict, tmp_path):
    out, module, variables = verdict
    flags = ["--what=classifier", "--format=safetensors,onnx", "--compilation_cache="]
    assert export.main([f"--workdir={out}", f"--out={tmp_path}", *flags]) == 0
    state = published.read(
        *(tmp_path / "classifier.safetensors", "resnet18"),
        published.metadata(tmp_path / "classifier.safetensors")["sha256"],
    )[0]
    assert state["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)
    assert {"bn1.running_mean", "fc.bias"} <= state.keys()
    # The stem takes grey repeated three times, so that torchvision's own network loads it.
    kernel = np.asarray(variables["params"]["conv1"]["kernel"])[:, :, 0].transpose(2, 0, 1)
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    np.testing.assert_allclose(state["conv1.weight"].sum(1), kernel, rtol=1e-5, atol=1e-7)
    import onnxruntime

    image = pictures()[0]
    session = onnxruntime.InferenceSession(str(tmp_path / "classifier.onnx"))
    (logits,) = session.run(["logits"], {"image": image})
    expected = module.apply(variables, to_float(image)).logits
    np.testing.assert_allclose(logits, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--what=decoder"], "--what=decoder is not one of generator, encoder, classifier"),
        (["--format=pickle"], "--format=pickle is not one of stablehlo, safetensors, onnx"),
        (["--step=99"], "no good checkpoint 99"),
        (["--what=classifier"], "holds no classifiers/*.safetensors"),
    ],
)
def test_bad_input_is_one_line(smoke_run, flags, message, tmp_path, capsys):
    args = [f"--workdir={smoke_run}", f"--out={tmp_path / 'out'}", "--compilation_cache=", *flags]
    assert export.main(args) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_an_unknown_arm_is_refused(verdict, tmp_path, capsys):
    args = [f"--workdir={verdict[0]}", f"--out={tmp_path}", "--what=classifier", "--arm=best"]
    assert export.main([*args, "--compilation_cache="]) == 1
    assert "--arm=best is not one of real" in capsys.readouterr().err
