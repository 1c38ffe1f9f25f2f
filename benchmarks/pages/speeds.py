"""Tables of seconds, pictures a second and memory."""

from benchmarks.pages.markdown import UNKNOWN, middle, read, table


def step():
    """List the speed of a training step by config."""
    rows = []
    for row in read("step").values():
        first, *rest = sorted(row["seconds"], key=lambda phase: -row["seconds"][phase]["median"])
        more = "; ".join(f"{phase} {row['seconds'][phase]['median']:.3f} s" for phase in rest)
        peak = f"{row['gflop_per_second']:.0f}, {100 * row['utilisation']:.0f} %"
        compiled = row["compile_seconds"]
        rows.append(
            (
                f"`{row['config']}`",
                row["cpu_cores"],
                f"{row['batch']}, {row['dtype']}",
                f"{first} {middle(row['seconds'][first])}",
                more or "-",
                f"{row['pairs_per_second']:.3g}",
                peak,
                f"{compiled['cold']:.0f} / {compiled['warm']:.0f} s",
                f"{row['peak_memory_mb']:.0f}",
                row.get("commit", UNKNOWN),
            )
        )
    head = ("config", "cores", "pairs, type", "longest phase", "other phases", "pairs/s")
    more = (
        "GFLOP/s, share of the peak",
        "compiling, first / second time",
        "peak memory, MB",
        "commit, date",
    )
    return table([*head, *more], rows)


def images_per_second():
    """List the images that a source gives, and that features are computed of."""
    rows = [
        (f"reading, {name}", f"{rate['first']['median']:,.0f}", f"{rate['cached']['median']:,.0f}")
        for name, rate in read("input")["images_per_second"].items()
    ]
    for name, rate in read("features")["images_per_second"].items():
        rows.append((f"Inception features, {name}", _rate(rate), ""))
    return table(["images a second", "first time", "later epochs, from memory"], rows)


def sets():
    """List what labelled sets cost, of the builds that were compared."""
    told, rows = read("generate"), []
    for way, builds in told["ways"].items():
        for name in told["commits"]:
            rates = (_rate(builds[name][key]) for key in ("images_per_s", "cpu_s"))
            peak = f"{builds[name]['peak_mb']['median']:,.0f}"
            rows.append((f"{way}, {told['images']:,} images", told["commits"][name], *rates, peak))
    head = ("set", "commit", "images/s", "seconds of the processor", "peak memory, MB")
    return table(head, rows)


def _rate(figure):
    return f"{figure['median']:.1f} ({figure['min']:.1f} to {figure['max']:.1f})"


def penalty():
    """List the cost of the gradient penalty."""
    rows = [
        (name, f"{sizes['folded']['passes']:.1f}", f"{sizes['strided']['passes']:.1f}")
        for name, sizes in read("penalty").items()
        if isinstance(sizes, dict) and "folded" in sizes
    ]
    return table(["in forward passes of D", "here", "XLA's strided convolutions"], rows)
