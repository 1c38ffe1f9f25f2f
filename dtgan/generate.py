"""Make a labelled set of synthetic defect images.

    python -m dtgan.generate --workdir=runs/quickstart --out=synthetic --num_per_class=100

carries defects of the run's training images to its defect-free surfaces, or those of your own
folders (--references, --backgrounds), and writes for every image its class, masks, box, the same
surface without the defect, and where all of it came from: manifest.jsonl, COCO and YOLO labels,
images/<class>/ for everything that reads folders. OUT/_SUCCESS appears last. The same command
again goes on where it was stopped; several machines share the work with --shard=0/4 ... 3/4.
"""

import sys

from dtgan import cli
from dtgan.config import ConfigError


def main(argv=None):
    """Parse flags, generate; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = _parser("--verify" not in argv).parse_args(argv)
    if args.verify:
        return _verify(args.out)
    cli.start(args)
    from dtgan.generation import plan, runner, tally

    def work():
        classes = tuple(name for name in args.classes.split(",") if name)
        args.visibility = not args.no_visibility
        known = {name: getattr(args, name) for name in plan.Settings._fields if name != "classes"}
        records = runner.generate(
            args.workdir,
            args.out,
            plan.Settings(classes=classes, **known),
            step=cli.step(args.step),
            shard=args.shard,
            data_path=args.data_path,
            with_mvtec=args.mvtec,
            max_megapixels=args.max_megapixels,
        )
        if records is None:
            print(f"shard {args.shard} is done; {args.out} waits for the others")
        else:
            fakes = sum(record["synthetic"] for record in records)
            refused = tally.total(records)
            print(
                f"{args.out}: {fakes} defect images, {len(records) - fakes} surfaces"
                + (f"; replaced: {refused}" if refused else "")
            )
            cli.tell_report(workdir=args.workdir, set=args.out)

    return cli.exit_code(work)


def _verify(out):
    """Compare a set with its digests; returns the exit code."""
    from dtgan.generation import dataset

    try:
        dataset.verify(out)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: complete, all files are as they were made")
    return 0


def _parser(drawing=True):
    parser = cli.parser("generate", __doc__)
    add = parser.add_argument
    add("--workdir", required=drawing, help="directory of the run that draws")
    add("--out", required=True, help="directory of the set, new or to be continued")
    add("--num_per_class", type=int, default=0, help="images of every class (or --boxes)")
    add("--classes", default="", help="defect classes, separated by commas; default all")
    add("--step", default="latest", help="latest (default), best, or N")
    add("--backgrounds", default="", help="folder of your own defect-free images")
    add("--projection_steps", type=int, default=300, help="with --backgrounds, of models of noise")
    add("--references", default="", help="folder of your own defects, one folder a class in it")
    add("--seed", type=int, default=0, help="the same seed, the same bytes (default 0)")
    add("--strength", type=float, default=1.0, help="of the defects; 1 (default) as in their image")
    add("--truncation", type=float, default=1.0, help="of models of noise: 0..1; 1 (default) all")
    add("--mask_threshold", type=float, default=0.1, help="of the binary mask (default 0.1)")
    add("--size", default="crop", help="crop (default), or native: whole pictures, as they are")
    add("--windows", type=int, default=1, help="of a whole picture, a defect each (default 1)")
    add("--place", default="random", help="on a whole picture: random (default), own: as it was")
    add("--surface_above", type=float, help="of whole pictures: what is darker is background")
    add("--boxes", default="", help="CSV file picture,class,x,y,w,h: these defects, there")
    add("--shift", metavar="DOWN,RIGHT", help="of every defect, in image sides, not drawn")
    add("--scale", metavar="S or ROWS,COLUMNS", help="of every defect, not drawn")
    add("--flip", help="of every defect: none, up_down, left_right, both")
    add("--defects", type=int, metavar="N", help="in every image or window, not drawn")
    add("--vary", default="", help="of defects: none, mild (default), strong")
    for name, text in (
        ("shift", "place, down and right, in image sides"),
        ("scale", "size along each axis"),
        ("rotate", "degrees"),
        ("strength", "times --strength"),
        ("elastic", "displacement of the outline, in image sides"),
    ):
        add(f"--vary_{name}", metavar="LOW,HIGH", help=f"range in the preset's stead: {text}")
    add("--vary_two", type=float, metavar="SHARE", help="of images with two defects of a class")
    add("--surfaces", default="any", help="any (default), or like: such as the defect's own")
    add("--surface_temperature", type=float, default=0.2, help="of like; small is choosy (0.2)")
    add("--limits", default="", help="folder of masks, named like surfaces: where defects may be")
    add("--min_contrast", type=float, help="of every class; default calibrated on real defects")
    add("--no_visibility", action="store_true", help="keep defects that do not show, too")
    add("--instances", default="parts", help="in labels: parts (default) of a mask, or the whole")
    add("--copy_filter", action="store_true", help="replace images that copy a training image")
    add("--mvtec", action="store_true", help="also make a tree shaped like MVTec AD")
    add("--verify", action="store_true", help="only compare the set --out with its digests")
    add("--shard", default="0/1", help="this job's part, i/n with 0 <= i < n")
    add("--max_megapixels", type=float, default=0.0, help="of a file; default as the run has it")
    add("--data_path", default="", help="where the run's data are now, if they were moved")
    return parser


if __name__ == "__main__":
    sys.exit(main())
