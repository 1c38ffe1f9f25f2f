"""A narrow, shallow ResNet in the place of ResNet-18: what is tested here is not its topology."""

import functools

import pytest

from dtgan.models import backbones, resnet


@pytest.fixture(scope="module", autouse=True)
def small_resnet18():
    with pytest.MonkeyPatch.context() as patch:
        small = functools.partial(resnet.ResNet, (1, 1, 1, 1), bottleneck=False, width=8)
        patch.setitem(backbones.BACKBONES, "resnet18", small)
        yield
