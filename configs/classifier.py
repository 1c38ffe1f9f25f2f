"""Classifiers on real and synthetic images: does the synthetic set help?

python -m dtgan.classify --real=DIR --synthetic=SET --out=runs/verdict

Arguments: quick (small enough for a laptop's CPU), thesis (its tables 4.4 to 4.9), dfmgan (trained
on synthetic defects alone), defect_gan (several labels an image, written as a folder "crack+spot",
and a source classifier behind a gradient reversal).
"""

from dtgan.classification.settings import base_config
from dtgan.config import parse_arg

# Table 4.7 less table 4.4: what the thesis adds.
THESIS_SYNTHETIC = "scratch=344,shell=332,mark=318,scoring=508,tear=246,notching=359"


def get_config(arg=""):
    """The default experiment, or the one that `arg` names."""
    arg = parse_arg(arg, quick=False, thesis=False, dfmgan=False, defect_gan=False)
    config = base_config()
    if arg.quick:
        config.seeds, config.train.steps, config.train.val_every = 3, 200, 25
    if arg.thesis:
        # ResNet-50, flips alone; 604 normals and 1051 - 604 defects are about 33 steps an epoch.
        config.net, config.data.res = "resnet50", 224
        config.data.counts, config.data.balance = "classifier", "oversample"  # table 4.4
        config.synthetic_counts = THESIS_SYNTHETIC
        config.arms = ("real+classic", "real+synthetic+classic")
        config.optim.name, config.optim.lr = "sgd", 0.01
        config.train.steps, config.train.balance = 60 * 33, 0.0
        config.train.synthetic_share, config.train.synthetic_until = -1.0, 1.0
        for name in ("shift", "brightness", "contrast", "blur", "noise", "cutout"):
            config.augment[name] = 0.0
    if arg.dfmgan:
        config.net, config.data.res, config.arms = "resnet34", 256, ("synthetic",)
        config.data.fractions = (0.3, 0.04, 0.66)
        config.optim.lr, config.train.batch_size, config.train.steps = 0.0001, 8, 30 * 500
    if arg.defect_gan:
        config.multi_label = True
        config.net, config.data.res = "resnet34", 224
        config.optim.name, config.optim.lr, config.train.batch_size = "sgd", 0.001, 16
        config.source.weight, config.train.synthetic_until = 0.1, 1.0
    return config
