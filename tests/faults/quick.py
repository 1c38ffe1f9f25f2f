"""Makes dtgan's commands quick, for tests that start and kill many of them: `prepare`."""

import functools

from dtgan.classification import runner, settings
from dtgan.evaluation import domain
from dtgan.models import backbones, resnet
from tests.classification.toys import Nearest
from tests.methods import toys


def prepare():
    """Register the toy families; put small networks and toys in the place of classifiers."""
    toys.register()
    small = functools.partial(resnet.ResNet, (1, 1, 1, 1), bottleneck=False, width=8)
    backbones.BACKBONES["resnet18"] = small
    domain.Recipe = functools.partial(domain.Recipe, steps=2, batch_size=8)
    runner.Trainer = _toy
    runner.best_state = lambda trained: {"means": trained.variables}


def _toy(*_):
    toy = Nearest()
    toy.config = settings.base_config()
    return toy
