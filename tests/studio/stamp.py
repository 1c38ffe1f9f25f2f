"""A toy family with all controls of a defect: what is dark in x1, placed as asked, on the surface.

python -m tests.studio.stamp main|studio FLAGS: dtgan.main or dtgan.studio with it.
"""

import contextlib
import sys

import jax.numpy as jnp

from dtgan.images import to_float
from dtgan.methods.layered import place
from dtgan.methods.registry import METHODS
from dtgan.methods.updates import without_parameters
from tests.methods import toys

DARK = 40.0  # grey levels below the mean of x1


def stamp(config, classes):
    def infer(ema, request, noise):
        x1, surface = request["defect"].astype(jnp.float32), to_float(request["surface"])
        grey = jnp.mean(x1, axis=-1, keepdims=True)
        dark = (grey < jnp.mean(grey, axis=(1, 2, 3), keepdims=True) - DARK).astype(jnp.float32)
        matte = jnp.clip(place(dark, request), 0.0, 1.0)
        if "limit" in request:
            matte = matte * (request["limit"].astype(jnp.float32) / 255.0)
        image = jnp.where(matte > 0, (1.0 - matte) * surface - matte, surface)
        return {"image": image, "mask": matte, "clean": surface}

    return without_parameters(
        infer,
        needs=("defect", "surface"),
        controls=("strength", "shift", "scale", "limit"),
        gives=("image", "mask", "clean"),
        keeps_surface=True,
    )


def register():
    """Add the family to the others, for this process."""
    toys.register()
    METHODS["stamp"] = stamp


@contextlib.contextmanager
def registered():
    """The family is one of the others within this context."""
    with toys.registered():
        METHODS["stamp"] = stamp
        try:
            yield
        finally:
            del METHODS["stamp"]


if __name__ == "__main__":
    register()
    verb, *sys.argv[1:] = sys.argv[1:]
    if verb == "main":
        from dtgan import main

        main.run()
    else:
        from dtgan.studio.__main__ import main

        sys.exit(main())
