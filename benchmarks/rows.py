"""The methods and data sets of benchmarks/methods.py, and the figures that it reads."""

from typing import NamedTuple


class Row(NamedTuple):
    """A method. config: in configs/; flags: further flags of its training.

    donor: the row from whose run it starts, with half of the budget. trained: learns something.
    masks: learns from those of the defects; drawn_by: the row whose run draws them where they have
    none. single: learns one class. named: its images have the classes' labels. few: is run on
    few-shot sets.
    """

    config: str
    flags: tuple = ()
    donor: str = ""
    trained: bool = True
    masks: bool = False
    drawn_by: str = ""
    single: bool = False
    named: bool = True
    few: bool = False


NO_PLACES = ("--config.model.places=0.0",)  # the paper's maps, which say the same at each pixel
ROWS = {
    "layered": Row("quickstart.py", few=True),
    "layered_masks": Row("quickstart.py", ("--config.loss.mask=1.0",), masks=True, few=True),
    "dtgan": Row("quickstart.py:method=dtgan"),
    "defect_gan": Row("defect_gan.py:quick", NO_PLACES, few=True),
    "defect_gan_places": Row("defect_gan.py:quick"),
    "stargan": Row("defect_gan.py:quick,scc=0,ani=0,lwc=0,sc=0"),
    "stargan_spade": Row("defect_gan.py:quick,ani=0,lwc=0,sc=0"),
    "scc_ani": Row("defect_gan.py:quick,lwc=0,sc=0"),
    "scc_lwc": Row("defect_gan.py:quick,ani=0,sc=0", NO_PLACES),
    "scc_lwc_sc": Row("defect_gan.py:quick,ani=0", NO_PLACES),
    "cyclegan": Row("cyclegan.py:quick", single=True),
    "sdgan": Row("cyclegan.py:sdgan,quick", single=True, few=True),
    "surfaces": Row("dfmgan.py:stage=1,quick", named=False, few=True),
    "dfmgan": Row("dfmgan.py:stage=2,quick", donor="surfaces", masks=True, few=True),
    "dfmgan_mattes": Row(
        "dfmgan.py:stage=2,quick",
        ("--config.data.masks_above=0.2",),
        donor="surfaces",
        drawn_by="layered",
    ),
    "stylegan2": Row("stylegan2.py:learn=defects,quick"),
    "diffaug": Row("stylegan2.py:diffaug,quick", few=True),
    "finetune": Row("stylegan2.py:finetune,quick", donor="surfaces", few=True),
    "cdc": Row("cdc.py:quick", donor="surfaces", single=True, few=True),
    "stackgan": Row("stackgan.py:quick", named=False),
    "stackgan_cond": Row("stackgan.py:cond,quick"),
    "paste": Row("paste.py", trained=False, masks=True, few=True),
    "poisson": Row("poisson.py", trained=False, masks=True),
}
DONOR = "surfaces"  # has no figures of its own
JUDGE = "layered"  # the row whose pilot trains the domain classifier


class Data(NamedTuple):
    """A data set. flags: of its config. single: the class that models of one class learn.

    masks: its defects have some. few: it is a few-shot set, judged by the classifier of JUDGES.
    """

    flags: tuple
    single: str
    masks: bool = True
    few: bool = False


PROCEDURAL = Data((), "tear")
JUDGES = "steel-60"  # of few-shot sets, which are too small to train a domain classifier
FOLDERS = {  # name -> Data, whose folder a flag of this name gives
    "neu_steel": Data(
        ("--config.data.scale_to=-1", r"--config.data.group=^(.+_\d*?)\d_\d+_\d+$"),
        "inclusion",
        masks=False,
    ),
    "magnetic_tile": Data(
        (
            "--config.data.scale_to=112",
            "--config.data.rolling=vertical",
            r"--config.data.group=num_(\d*?)\d{1,4}$",
        ),
        "break",
    ),
}
FIGURES = {  # name -> path in the report
    "fid": ("overall", "fid_matched"),  # of as many as there are real ones, like its floor
    "fid_floor": ("floor", "overall", "fid"),
    "kid_x1e3": ("overall", "kid_x1e3"),
    "kid_floor": ("floor", "overall", "kid_x1e3"),
    "clustered_lpips": ("overall", "clustered_lpips_matched"),
    "clustered_lpips_floor": ("floor", "overall", "clustered_lpips"),
    "recognised": ("overall", "recognised"),
    "recognised_floor": ("floor", "overall", "recognised"),
    "skill": ("transfer", "skill"),
    "mask_iou": ("transfer", "mask_iou"),
    "outside_true": ("transfer", "background_mae"),
    "changed": ("translation", "change_mae"),
    "outside_own": ("translation", "background_mae"),
    "mask_iou_twins": ("twins", "mask_iou"),
    "outside_twins": ("twins", "outside_mae"),
    "copies": ("copies", "rate"),
    "copies_floor": ("copies", "held_out_rate"),
    "drawn_per_s": ("images_per_second",),
}
CLASS_FIGURES = {  # of every class: name -> key of its report
    "fid": "fid_matched",
    "kid_x1e3": "kid_x1e3",
    "clustered_lpips": "clustered_lpips_matched",
}
SINGLE_FIGURES = {  # of the class that models of one class learn: name -> key of its report
    "single_num_real": "num_real",
    "single_fid": "fid_matched",
    "single_kid_x1e3": "kid_x1e3",
    "single_clustered_lpips": "clustered_lpips_matched",
}
