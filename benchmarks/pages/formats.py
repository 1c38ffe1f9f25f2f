"""Tables of files: what other readers make of a set, layouts of data, whole pictures."""

from benchmarks.pages.markdown import read, table


def readers():
    """List what each reader reads, and whether it reads that right."""
    rows = []
    for row in read("readers")["readers"].values():
        boxes, masks = row.get("box_error_px"), row.get("mask_iou")
        rows.append(
            (
                f"{row['package']} {row['version']}",
                row["call"],
                row["reads"],
                _of(row, "images"),
                _of(row, "classes"),
                "-" if boxes is None else f"{boxes:.2f}",
                f"{masks['mean']:.2f} ({masks['least']:.2f})" if masks else "-",
                row.get("grey_16_bit") or "-",
                row["verdict"],
            )
        )
    head = ("reader", "call", "reads", "pictures", "classes", "boxes, px off")
    return table([*head, "masks, IoU (least)", "16-bit grey becomes", "labels"], rows)


def layouts():
    """Compare one set in every layout."""
    found = read("layouts")
    heads = next(iter(found.values()))
    return table(
        ["layout", *heads], [(name, *map(_told, row.values())) for name, row in found.items()]
    )


def native():
    """List memory and speed of whole pictures by their size."""
    rows = [
        (
            row["size"],
            row["pictures"],
            f"{row['pictures_per_s']:.2f}",
            row["most_mb"],
            f"{row['picture_mb']:.1f}",
            row["beyond_mb"],
        )
        for row in read("native")["rows"]
    ]
    head = ("surfaces", "pictures", "a second", "most memory, MB", "a picture, MB", "beyond it, MB")
    return table(head, rows)


def plant():
    """List what became of a plant's pictures, from audit to verdict."""
    rows = [
        (
            name,
            ", ".join(row["modes"]),
            row["pictures"],
            row["defects"],
            row["changed_outside"],
            f"{row['iou_mean']:.3f} ({row['iou_least']:.3f})",
        )
        for name, row in read("plant").items()
    ]
    head = ("pictures", "mode, kept", "made", "defects", "pixels changed outside of masks")
    return table([*head, "IoU of change and mask (least)"], rows)


def _told(value):
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _of(row, key):
    return "{} of {}".format(*row[key]) if key in row else "-"
