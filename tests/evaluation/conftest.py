"""The training images of the smoke run and a domain classifier for it."""

import numpy as np
import pytest

from dtgan.data import catalog, pipeline
from dtgan.data.procedural import CLASSES
from dtgan.evaluation import domain
from dtgan.weights import published
from tests import smoke
from tests.workers import once

QUICK = domain.Recipe(steps=3, batch_size=8)


@pytest.fixture(scope="session")
def records():
    """The training images of the smoke config as arrays."""
    config = smoke.get_config()
    source = catalog.open_source(config, "train")
    return pipeline.load_records(config, source, np.arange(len(source)))


@pytest.fixture(scope="session")
def domain_weights(records, shared):
    """(path, digest) of a hardly trained domain classifier."""
    path = shared / "domain" / "domain.safetensors"
    network = domain.network_of(records["image"], CLASSES)
    with once(path.parent) as first:
        if first:
            state = domain.train(records["image"], records["label"], 7, QUICK)
            published.write(path, state, network)
    return path, published.read(path, network)[1]
