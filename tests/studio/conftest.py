"""A studio without a page: a model that needs no training, and its run's procedural pictures."""

import numpy as np
import pytest
from PIL import Image

from dtgan.config import base_config, shrink
from dtgan.methods.registry import make_method
from dtgan.sampling.sampler import Sampler
from dtgan.studio.kept import Kept
from dtgan.studio.render import Renderer
from dtgan.studio.session import Session, Studio
from dtgan.studio.stock import Stock
from tests.studio import stamp

CLASSES = ("normal", "scratch", "shell", "mark", "scoring", "tear", "notching")
ABOUT = {"checkpoint": "0" * 64, "step": 0, "method": "stamp"}


def make_renderer(name="stamp", **data):
    """A Renderer of a family without parameters; data: fields of config.data."""
    config = base_config(name)
    shrink(config)
    config.data.update(data)
    return Renderer(Sampler(config, CLASSES, 0, {}, make_method(config, CLASSES)))


@pytest.fixture(scope="module", autouse=True)
def with_stamp():
    with stamp.registered():
        yield


@pytest.fixture(scope="module")
def renderer(with_stamp):
    return make_renderer()


@pytest.fixture
def studio(renderer, tmp_path):
    stock = Stock(renderer.config, CLASSES, renderer.whole)
    kept = Kept(tmp_path / "kept", CLASSES)
    yield Studio(renderer, stock, kept, ABOUT)
    kept.close()


@pytest.fixture
def session(studio):
    return Session(studio)


@pytest.fixture
def save(tmp_path):
    """save(name, array) -> its path."""

    def write(name, array):
        Image.fromarray(np.asarray(array, np.uint8)).save(tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def spot():
    """A bright picture with a dark square about (10.5, 20.5), and where it is."""
    picture, mask = np.full((32, 32), 200, np.uint8), np.zeros((32, 32, 1), np.uint8)
    picture[8:14, 18:24], mask[8:14, 18:24] = 20, 255
    return picture, mask
