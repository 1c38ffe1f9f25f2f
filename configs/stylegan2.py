"""StyleGAN2-ADA: surfaces of noise, or defects of noise, trained from scratch or from surfaces.

python -m dtgan.main --config=configs/stylegan2.py:quick --workdir=runs/surfaces \\
    --config.data.source=folder --config.data.path=DIR

learns the defect-free images; with learn=defects those of defects, one model a class
(--config.data.classes=NAME) as in the papers, or one for all, told by labels. The default is the
authors' "auto" for one accelerator, where it has not been trained yet; quick takes 0.19 s a step on
one CPU core.
"""

from dtgan.config import base_config, parse_arg, shrink
from dtgan.config.families.stylegan2 import auto_batch


def get_config(arg=""):
    """Arguments: res (side in pixels), learn (normals or defects), smoke (all is small);

    quick (64 px, for a CPU), diffaug (few images: DiffAugment's low-shot settings), finetune
    (defects, from the run of surfaces --config.init.workdir).
    """
    switches = {"quick": False, "diffaug": False, "finetune": False, "smoke": False}
    arg = parse_arg(arg, res=256, learn="", **switches)
    config = base_config("stylegan2")
    few = arg.diffaug or arg.finetune
    config.data.res, config.data.channels = arg.res, 3
    config.data.learn = arg.learn or ("defects" if few else "normals")
    config.data.batch_size = auto_batch(arg.res)
    config.train.duration = "3000kimg"
    if arg.diffaug:
        make_low_shot(config)
    if arg.finetune:
        config.init.required = True
        config.augment.kimg, config.optim.ema_ramp = 100.0, 0.0
        config.train.duration = "400kimg"
    if arg.quick:
        make_quick(config)
        if arg.diffaug:
            config.loss.r1_gamma *= (64 / 256) ** 2  # as "auto" does, with the area
    if arg.smoke:
        shrink(config)
        config.data.channels = 1
    return config


def make_low_shot(config):
    """Set what DiffAugment's authors take for a hundred images of 256 px."""
    config.data.batch_size, config.train.duration = 8, "300kimg"
    config.augment.kind, config.loss.r1_gamma = "diffaug", 10.0
    config.optim.lr, config.optim.ema_kimg, config.optim.ema_ramp = 0.002, 10.0, 0.0
    config.model.base = 32768


def make_quick(config):
    """Make all small enough for a CPU."""
    config.data.res, config.data.channels, config.data.batch_size = 64, 1, 8
    config.model.base, config.model.cap, config.model.latent = 1024, 48, 64
    config.train.duration = "50kimg" if config.data.learn == "normals" else "20kimg"
    config.train.sample_every = config.checkpoint.every = 500
