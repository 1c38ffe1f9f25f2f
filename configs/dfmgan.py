"""DFMGAN: defects of few images with masks, painted into surfaces of noise, in two stages.

python -m dtgan.main --config=configs/dfmgan.py:stage=1,quick --workdir=runs/surfaces \\
    --config.data.source=folder --config.data.path=DIR
python -m dtgan.main --config=configs/dfmgan.py:stage=2,quick --workdir=runs/defects \\
    --config.data.source=folder --config.data.path=DIR --config.init.workdir=runs/surfaces

The first learns surfaces from defect-free images and is configs/stylegan2.py; the second learns
defects and their masks. The paper trains one model a class (--config.data.classes=NAME); with
several classes labels tell them apart. Without quick, the paper's 256 px for an accelerator.
"""

from dtgan.config import ConfigError, base_config, parse_arg, shrink
from dtgan.config.families.stylegan2 import auto_batch


def get_config(arg=""):
    """Arguments: stage (1 or 2), res (side in pixels), quick (64 px, for a CPU), smoke (all is
    small)."""
    arg = parse_arg(arg, stage=2, res=256, quick=False, smoke=False)
    if arg.stage not in (1, 2):
        raise ConfigError(f"stage={arg.stage} is not 1 (surfaces) or 2 (defects)")
    config = base_config("stylegan2" if arg.stage == 1 else "dfmgan")
    config.data.res, config.data.channels = arg.res, 3
    config.data.batch_size = auto_batch(arg.res)
    config.train.duration = "3000kimg" if arg.stage == 1 else "400kimg"
    if arg.quick:
        make_quick(config, arg.stage)
    if arg.smoke:
        shrink(config)
        config.data.channels = 1
    return config


def make_quick(config, stage):
    """Make all small enough for a CPU, the backbone as in configs/stylegan2.py:quick."""
    config.data.res, config.data.channels, config.data.batch_size = 64, 1, 8
    config.model.base, config.model.cap, config.model.latent = 1024, 48, 64
    config.train.sample_every = config.checkpoint.every = 500
    config.train.duration = "50kimg" if stage == 1 else "20kimg"
    if stage == 2:
        config.model.match_base, config.model.match_cap = 512, 32
