"""Fields of a learning rate that falls towards the end of a run; see `methods.updates.rate`."""

from dtgan.config.errors import ConfigError

FIELDS = {
    "optim": {
        "lr_end": 0.0,  # that the rate falls to
        "decay_from": 0.5,  # share of the run after which it falls in a straight line; 1 = constant
    }
}


def check(config):
    """Raise ConfigError where the learning rate cannot follow its shape."""
    optim, duration = config.optim, config.train.duration
    if optim.decay_from > 1:
        raise ConfigError(f"optim.decay_from={optim.decay_from} is outside 0..1; 1 = constant")
    if optim.decay_from < 1 and "epoch" in duration:
        raise ConfigError(
            f"train.duration={duration} tells no number of steps for the learning rate to fall "
            "over; write it in steps or kimg, or set optim.decay_from=1"
        )
