"""The table of models that draw of noise, on few defects."""

from benchmarks.pages.markdown import read, table

NAMES = {
    "paste-60": "Crop&Paste",
    "paste": "Crop&Paste",
    "dfmgan": "DFMGAN",
    "dfmgan-5": "DFMGAN",
    "dfmgan-1": "DFMGAN",
    "finetune": "Finetune",
    "diffaug": "DiffAugment",
    "stylegan2": "StyleGAN2-ADA",
    "cdc": "CDC, one class",
    "stackgan": "StackGAN++, no labels",
    "stackgan-cond": "StackGAN++, labels",
}


def noise():
    """List the scores of every model, a row each."""
    rows = [_row(NAMES[name], row) for name, row in read("noise").items() if row]
    head = ("model", "defects a class", "steps", "images/s", "KID x1e3", "floor")
    head = (*head, "clustered LPIPS", "floor", "recognised", "mask IoU with the change")
    return table((*head, "changed outside, grey levels", "copies (false alarms)"), rows)


def _row(name, row):
    low, high = row["95 %"]
    share = [f"{100 * row[key]:.1f} %" for key in ("copies", "false alarms")]
    return (
        name,
        row["number"],
        row["step"] or "-",
        _told(row["images_per_s"], 0),
        f"{row['KID x1e3']:.0f} [{low:.0f}, {high:.0f}]",
        f"{row['floor']:.0f}",
        _told(row["cLPIPS"], 3),
        _told(row["its floor"], 3),
        _told(row["recognised"], 2),
        _told(row["mask IoU"], 2),
        _told(row["outside"], 1),
        f"{share[0]} ({share[1]})",
    )


def _told(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"
