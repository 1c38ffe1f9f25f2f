"""New defects out of two of a class: are their structure codes worth mixing?

    launch/run.sh python benchmarks/mixing.py --workdir=runs/quickstart --out=mixing.png

Draws defects of the layered model on surfaces, of one code, of the mean of two and of two joined
along a line through their middles (the second is moved onto the first), and prints how many the
run's own classifier takes for their class, mean over classes and by class. The picture holds
examples: both defects, then the three hybrids.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data import catalog, crops, pipeline
from dtgan.methods.layered import Layered, drop_uncertain, over, paint
from dtgan.sampling import sampler

BATCH = 40


def main(argv=None):
    """Draw, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="a run of the layered model")
    parser.add_argument("--num", type=int, default=BATCH, help="pairs of a class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="", help="PNG of examples")
    args = parser.parse_args(argv)
    model = sampler.load(args.workdir)
    if model.config.method != "layered":
        sys.exit(f"error: {args.workdir} is of method={model.config.method}, not layered")
    source = catalog.open_source(model.config, model.config.data.split)
    first, second, surface, label = pairs(model, source, args.num, args.seed)
    line = np.random.default_rng(args.seed).standard_normal((len(label), 2)).astype(np.float32)
    draw = jax.jit(lambda *inputs: mixtures(Layered(model.config, model.classes), *inputs))
    ways = {}
    for start in range(0, len(label), BATCH):
        rows = slice(start, start + BATCH)
        pictures = (images.to_float(x["image"][rows]) for x in (first, second, surface))
        middles = (middle(x["mask"][rows]) for x in (first, second))
        for name, drawn in draw(model.ema, *pictures, *middles, line[rows]).items():
            ways.setdefault(name, []).append(images.to_uint8(np.asarray(drawn)))
    ways = {name: np.concatenate(parts) for name, parts in ways.items()}
    classify = sampler.load_classifier(args.workdir, model)
    for name, drawn in ways.items():
        right = np.argmax(classify(drawn, BATCH), axis=-1) == label
        shares = {model.classes[k]: float(np.mean(right[label == k])) for k in np.unique(label)}
        by_class = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        print(f"{name}: recognised {np.mean(list(shares.values())):.3f} ({by_class})")
    if args.out:
        rows = np.flatnonzero(np.arange(len(label)) % args.num < 2)
        columns = [first["image"], second["image"], *ways.values()]
        cells = np.stack([column[rows] for column in columns], axis=1)
        images.write_image(args.out, images.tile(cells.reshape(-1, *cells.shape[2:]), columns=10))


def pairs(model, source, num, seed):
    """Load `num` pairs of defects of each class, and surfaces: three batches, and the labels."""
    cached, rng = crops.CachedSource.of(source, model.config), np.random.default_rng(seed)
    labels = np.asarray(source.labels)
    chosen = []
    for k in range(1, len(model.classes)):
        of_class = np.flatnonzero(labels == k)
        if len(of_class) < 2:
            raise ConfigError(f"class {model.classes[k]!r} has fewer than 2 images to mix")
        for _ in range(num):
            chosen.append(
                (*rng.choice(of_class, 2, replace=False), rng.choice(np.where(labels == 0)[0]))
            )
    first, second, surface = (
        pipeline.load_records(model.config, cached, np.array(column))
        for column in zip(*chosen, strict=True)
    )
    return first, second, surface, first["label"]


def mixtures(method, ema, x1, other, x2, middle1, middle2, line):
    """Draw hybrids [N, R, R, C] on x2: of x1's code, of a mean, and of both sides of a line."""
    (z1,), (z,), (z2,) = (method.encode(ema["E"], image) for image in (x1, other, x2))
    margin, side = method.config.model.margin, z1.z_s.shape[1]
    code, second = drop_uncertain(z1.z_s, margin), drop_uncertain(z.z_s, margin)
    shift = jnp.round((middle1 - middle2) * side).astype(int)
    second = jax.vmap(lambda code, by: jnp.roll(code, by, (0, 1)))(second, shift)
    at = (jnp.arange(side) + 0.5) / side
    across = (at[None] - middle1[:, :1])[:, :, None] * line[:, 0, None, None]
    along = (at[None] - middle1[:, 1:])[:, None, :] * line[:, 1, None, None]
    weight = jax.nn.sigmoid(side * (across + along))[..., None]
    found = {}
    for name, mixed in (
        ("one", code),
        ("mean of two", 0.5 * (code + second)),
        ("two joined", weight * code + (1.0 - weight) * second),
    ):
        (layer,) = method.layers(ema["G"], (mixed, z2.z_t))
        found[name] = over(x2, paint(layer.reflectance, x2), layer.matte)
    return found


def middle(mask):
    """Find the middles of masks [N, R, R, 1] in image sides (y, x); of the image where empty."""
    found = np.full((len(mask), 2), 0.5, np.float32)
    for row, plane in zip(found, mask[..., 0] > 127, strict=True):
        if plane.any():
            row[:] = (np.argwhere(plane).mean(0) + 0.5) / len(plane)
    return found


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
