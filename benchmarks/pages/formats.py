"""The table of readers of others: what they make of a set."""

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


def _of(row, key):
    return "{} of {}".format(*row[key]) if key in row else "-"
