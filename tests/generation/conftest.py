"""What tests of sets share."""

import pytest

from dtgan.generation import checks, draw, plan


@pytest.fixture(scope="module")
def small_blocks():
    """Blocks and batches of 8 images, so that a small set has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLOCK", 8)
        for module in (checks, draw):
            patch.setattr(module, "RENDER", 8)
        yield
