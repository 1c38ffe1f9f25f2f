"""Configs for smoke tests: small numbers of everything, so that a run takes seconds."""

_SIZES = {"ch": 2, "blocks": 2}  # of a model
_SIZES |= {"base": 64, "match_base": 64, "cap": 4, "match_cap": 4, "latent": 8}


def shrink(config):
    """Set every size and length of a config to what a smoke test takes, width included."""
    config.data.res = 32
    config.data.batch_size = 2
    config.data.scale_counts = 0.02
    config.train.duration = "4steps"
    config.train.log_every = 2
    config.train.sample_every = 4
    config.train.sample_rows = 2
    config.train.summary_pairs = 4
    config.checkpoint.every = 2
    for name, size in _SIZES.items():
        if "model" in config and name in config.model:
            config.model[name] = size
