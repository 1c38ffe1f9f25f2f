"""The methods and data sets of benchmarks/methods.py, and the figures that it reads."""

from typing import NamedTuple


class Row(NamedTuple):
    """A method. config: in configs/. starts: from the run of this row, with half of the budget.

    flags: more of its training. trained: learns something. masks: needs those of the defects, or
    those that the run of the row `mattes` draws. one: learns one class. named: its images have the
    classes' labels. few: is run on few-shot sets.
    """

    config: str
    flags: tuple = ()
    starts: str = ""
    trained: bool = True
    masks: bool = False
    mattes: str = ""
    one: bool = False
    named: bool = True
    few: bool = False


EVERYWHERE = ("--config.model.places=0.0",)  # Defect-GAN's maps say the same at each pixel
ROWS = {
    "layered": Row("quickstart.py", few=True),
    "dtgan": Row("quickstart.py:method=dtgan"),
    "defect_gan": Row("defect_gan.py:quick", EVERYWHERE),
    "defect_gan_places": Row("defect_gan.py:quick"),
    "stargan": Row("defect_gan.py:quick,scc=0,ani=0,lwc=0,sc=0"),
    "stargan_spade": Row("defect_gan.py:quick,ani=0,lwc=0,sc=0"),
    "scc_ani": Row("defect_gan.py:quick,lwc=0,sc=0"),
    "scc_lwc": Row("defect_gan.py:quick,ani=0,sc=0", EVERYWHERE),
    "scc_lwc_sc": Row("defect_gan.py:quick,ani=0", EVERYWHERE),
    "cyclegan": Row("cyclegan.py:quick", one=True),
    "sdgan": Row("cyclegan.py:sdgan,quick", one=True),
    "surfaces": Row("dfmgan.py:stage=1,quick", named=False),
    "dfmgan": Row("dfmgan.py:stage=2,quick", starts="surfaces", masks=True, few=True),
    "dfmgan_mattes": Row(
        "dfmgan.py:stage=2,quick", starts="surfaces", masks=True, mattes="layered"
    ),
    "stylegan2": Row("stylegan2.py:learn=defects,quick"),
    "diffaug": Row("stylegan2.py:diffaug,quick"),
    "finetune": Row("stylegan2.py:finetune,quick", starts="surfaces"),
    "cdc": Row("cdc.py:quick", starts="surfaces", one=True),
    "stackgan": Row("stackgan.py:quick", named=False),
    "stackgan_cond": Row("stackgan.py:cond,quick"),
    "paste": Row("paste.py", trained=False, masks=True, few=True),
    "poisson": Row("poisson.py", trained=False, masks=True),
}
PART = "surfaces"  # what others start from; it has no figures of its own
JUDGE = "layered"  # the row whose pilot trains the domain classifier


class Data(NamedTuple):
    """A data set. flags: of its config. one: the class that models of one class learn."""

    flags: tuple
    one: str
    masks: bool = True
    few: bool = False


FOLDERS = {  # name -> Data, whose folder a flag of this name gives
    "neu_steel": Data(
        ("--config.data.scale_to=-1", r"--config.data.group=^(.+_\d*?)\d_\d+_\d+$"),
        "patches",
        masks=False,
    ),
    "magnetic_tile": Data(
        (
            "--config.data.scale_to=112",
            "--config.data.rolling=vertical",
            r"--config.data.group=num_(\d*?)\d{1,4}$",
        ),
        "blowhole",
    ),
}
PROCEDURAL = Data((), "tear")
FIGURES = {  # name -> path in the report
    "fid": ("overall", "fid"),
    "fid_floor": ("floor", "overall", "fid"),
    "kid_x1e3": ("overall", "kid_x1e3"),
    "kid_ci95": ("overall", "kid_ci95"),
    "kid_floor": ("floor", "overall", "kid_x1e3"),
    "clustered_lpips": ("overall", "clustered_lpips_matched"),
    "clustered_lpips_floor": ("floor", "overall", "clustered_lpips"),
    "recognised": ("overall", "recognised"),
    "recognised_floor": ("floor", "overall", "recognised"),
    "skill": ("transfer", "skill"),
    "mask_iou": ("transfer", "mask_iou"),
    "mask_iou_twins": ("twins", "mask_iou"),
    "background": ("transfer", "background_mae"),
    "background_translation": ("translation", "background_mae"),
    "background_twins": ("twins", "outside_mae"),
    "copies": ("copies", "rate"),
    "copies_floor": ("copies", "held_out_rate"),
    "images_per_s": ("images_per_second",),
}
ONE = {  # of the class that models of one class learn: name -> key of its report
    "one_fid": "fid",
    "one_kid_x1e3": "kid_x1e3",
    "one_clustered_lpips": "clustered_lpips_matched",
}
