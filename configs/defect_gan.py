"""Defect-GAN: defects of the asked classes, where and as asked, painted on surfaces and removed.

python -m dtgan.main --config=configs/defect_gan.py --workdir=runs/defect_gan \\
    --config.data.source=folder --config.data.path=DIR

A folder "crack+spot" shows both. The default is the paper's, 128 px and 500,000 steps of D for an
accelerator, where it has not been trained yet. On a CPU begin with configs/defect_gan.py:quick,
8000 steps in about 11 minutes on two idle cores, FID of domain features 88 (docs/defect_gan.md).
Table 2's rows: :scc=0,ani=0,lwc=0,sc=0 is StarGAN, :ani=0,lwc=0,sc=0 is StarGAN with SPADE.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), ch (width), quick (64 px, for a CPU), smoke (all is small);

    scc (class map by SPADE), ani (adaptive noise), lwc (layer-wise composition), sc (losses of the
    mask), each 1 or 0.
    """
    switches = {"scc": True, "ani": True, "lwc": True, "sc": True}
    arg = parse_arg(arg, res=128, ch=64, quick=False, smoke=False, **switches)
    config = base_config("defect_gan")
    config.data.res, config.data.channels, config.data.batch_size = arg.res, 3, 4
    config.model.ch, config.train.duration = arg.ch, "500000steps"
    if arg.quick:
        make_quick(config)
    for name in ("scc", "ani", "lwc"):
        config.model[name] = arg[name]
    config.model.places = 0.5 if arg.scc and arg.lwc else 0.0
    if not arg.sc:
        config.loss.sd_cyc = config.loss.sd_con = 0.0
    if not any(arg[name] for name in switches):  # StarGAN's own weights
        config.loss.cls_d, config.loss.cls_g, config.loss.rec = 1.0, 1.0, 10.0
        config.optim.lr /= 2
    if arg.smoke:
        shrink(config)
        config.data.channels = 1
    return config


def make_quick(config):
    """Make all small enough for a CPU, and let it learn fast: five times the paper's rate."""
    config.data.res, config.data.channels = 64, 1
    config.model.ch, config.model.d_ch, config.model.blocks = 8, 16, 4
    config.optim.lr, config.optim.n_critic, config.optim.ema = 0.001, 2, 0.995
    config.train.duration = "8000steps"
    config.train.sample_every = config.checkpoint.every = 1000
