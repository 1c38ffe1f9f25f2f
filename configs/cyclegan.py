"""CycleGAN: defects of one class painted on surfaces and removed, by unpaired translation.

python -m dtgan.main --config=configs/cyclegan.py --workdir=runs/cyclegan \\
    --config.data.source=folder --config.data.path=DIR --config.data.classes=crack

The default is the paper's, 128 px and batch 1, for an accelerator, where it has not been trained
yet; :sdgan has two critics a domain and no identity loss; :quick is small enough for a CPU.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), ch (width), sdgan, quick (64 px), smoke (all is small)."""
    arg = parse_arg(arg, res=128, ch=64, sdgan=False, quick=False, smoke=False)
    config = base_config("cyclegan")
    config.data.res, config.data.channels, config.data.batch_size = arg.res, 3, 1
    config.model.ch, config.model.blocks = arg.ch, 6 if arg.res <= 128 else 9
    config.train.duration = "200000steps"
    if arg.sdgan:
        config.model.dual, config.loss.idt = True, 0.0
    if arg.quick:
        config.data.res, config.data.channels, config.data.batch_size = 64, 1, 4
        config.model.ch, config.model.d_ch, config.model.blocks = 8, 16, 4
        config.optim.ema, config.train.duration = 0.99, "2000steps"
        config.train.sample_every = config.checkpoint.every = 500
    if arg.smoke:
        shrink(config)
        config.data.channels = 1
    return config
