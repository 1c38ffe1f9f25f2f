"""A run as one HTML file: sections built of what was read, rendered by the templates beside."""

import base64
import datetime
import hashlib
import importlib.metadata
import importlib.resources

import jinja2
from markupsafe import Markup

from dtgan.config import ConfigError, flatten
from dtgan.pages import advice, pictures, plots, scores
from dtgan.pages import made as made_lib
from dtgan.pages import verdict as verdict_lib
from dtgan.pages.read import at
from dtgan.reporting.tables import number

GRIDS = 24  # sample grids of a run at most, evenly spread
RATES = {"images/s": "rate/images_per_s", "share of time waiting for data": "rate/waiting_for_data"}
BROKEN = (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError)


def single(run=None, data=None, made=None, told=None):
    """Render the page of what there is of a read.Run, a read.Set and a read.Verdict: text.

    data: of `data.describe`, of the run. Raises ConfigError where a file holds what this version
    does not know, and where nothing is given.
    """
    if not (run or made or told):
        raise ConfigError("there is nothing to report on; give --workdir=RUN, --set or --verdict")
    described = told and known(lambda: verdict_lib.describe(told), told.path / "verdict.json")
    evaluated = run and run.pictures / f"{max(run.reports, default=0)}.json"
    return render(
        "run.html",
        title=(run or made or told).path.resolve().name,
        run=run,
        notes=[note for part in (run, made, told) if part for note in part.notes],
        data=data,
        glance=known(lambda: _glance(run, described), evaluated),
        advice=known(lambda: advice.advise(run, made, told, described), evaluated),
        training=run and known(lambda: _training(run), run.path / "metrics.jsonl"),
        grids=run and grids(run),
        evaluation=known(lambda: _evaluation(run), evaluated) if run and run.report else None,
        made=made and known(lambda: made_lib.describe(made), made.path / "manifest.jsonl"),
        verdict=described,
        plots=_verdict_plots(described) if described else {},
        config=flatten(run.config) if run else {},
    )


def grids(run, most=GRIDS):
    """Encode the sample grids of a run: [(step, data URI)]."""
    read = ((step, pictures.read(file)) for step, file in pictures.thinned(run.samples, most))
    return [(step, pictures.uri(sheet)) for step, sheet in read if sheet is not None]


def render(template, **values):
    """Fill a template: text. Every value is text for it, unless it is Markup of our own plots."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dtgan.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    files = importlib.resources.files("dtgan.pages") / "templates"
    style, script = ((files / name).read_text() for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        script_digest=digest,
        version=importlib.metadata.version("dtgan"),
        today=datetime.date.today().isoformat(),
        **values,
    )


def known(build, file):
    """Build a part of a page. Raises ConfigError where the file behind it is of another version."""
    try:
        return build()
    except BROKEN as error:
        raise ConfigError(
            f"{file} is not of this version of dtgan ({type(error).__name__}: {error}); make it "
            "anew with --force or in another directory"
        ) from error


def _glance(run, described):
    """List the figures at the top: [(value, what it is)]."""
    shown = _glance_of_run(run) if run else []
    return [*shown, (described["word"], "for the classifier")] if described else shown


def _glance_of_run(run):
    report, shown = run.report, [(f"{run.step:,}", "steps")]
    values = [row["rate/images_per_s"] for row in run.metrics if row.get("rate/images_per_s")]
    if values:
        shown.append((number(sorted(values)[len(values) // 2], 1), "images/s in training"))
    skill = at(report, "transfer", "skill")
    if skill is not None:
        shown.append((number(skill, 2), "transfer skill (1 is exact, 0 no defect)"))
    fid, floor = at(report, "overall", "fid_matched"), at(report, "floor", "overall", "fid")
    if fid is not None:
        shown.append((number(fid, 0), f"FID (real images: {number(floor, 0)})"))
    rate = at(report, "overall", "recognised")
    if rate is not None:
        real = at(report, "floor", "overall", "recognised")
        percent = "-" if real is None else f"{100 * real:.0f} %"
        shown.append((f"{100 * rate:.0f} %", f"recognised (real images: {percent})"))
    copied = at(report, "copies", "rate")
    if copied is not None:
        shown.append((f"{100 * copied:.1f} %", "flagged as copies"))
    return shown


def _training(run):
    """Plot a run's curves: {"losses", "score", "rate"}, None for what was not logged."""
    names = sorted({name for row in run.metrics for name in row} - {"step", "val/score"})
    losses = {n.removeprefix("loss/"): n for n in names if not n.startswith("rate/")}
    scored = [(row["step"], row["val/score"]) for row in run.metrics if "val/score" in row]
    return {
        "losses": plots.curves("losses", run.metrics, losses, log=True),
        "score": plots.lines("score", {"validation": scored}, "score"),
        "rate": plots.curves("rate", run.metrics, RATES, columns=2),
    }


def _evaluation(run):
    """Describe the newest evaluation, and how scores went with the steps where there are more."""
    report, step = run.report, max(run.reports)
    classes = scores.by_class(report)
    panels = [
        (
            "recognised by a classifier (ring: real images)",
            None,
            [
                plots.Estimate(
                    p["name"], p["recognised"], p["recognised_ci95"], _kind(p), p["floor"]
                )
                for p in classes
            ],
        ),
        (
            "transfer skill",
            0.0,
            [plots.Estimate(p["name"], p["skill"], p["skill_ci95"]) for p in classes],
        ),
    ]
    copied = pictures.read(run.pictures / f"{step}-copies.png")
    rows = [{"step": step} | _shown(report) for step, report in sorted(run.reports.items())]
    titles = {line.title: line.title for line in scores.LINES}
    return {
        "step": step,
        "data": report["data"],
        "gallery": _gallery(run, report, step),
        "copies": None if copied is None else pictures.uri(copied),
        "scores": scores.table(report),
        "classes": classes,
        "plot": plots.forest("classes", panels),
        "steps": plots.curves("steps", rows, titles) if len(rows) > 1 else None,
        "findings": report.get("findings") or [],
        "notes": report.get("notes") or {},
    }


def _kind(part):
    """Colour a class by its score: as real ones do, or far below."""
    if part["recognised"] is None or not part["floor"]:
        return "open"
    return "bad" if part["recognised"] < 0.5 * part["floor"] else "good"


def _shown(report):
    """Read the scores of scores.LINES from a report: {title: number}."""
    return {line.title: line.of(report)[0] for line in scores.LINES}


def _gallery(run, report, step):
    """Encode the hybrids of evaluate: [(class, [(rank, distance, [(column, data URI)])])].

    None where the evaluation is of a time before it drew them.
    """
    described, sheet = at(report, "gallery"), pictures.read(run.pictures / f"{step}-hybrids.png")
    if not described or sheet is None:
        return None
    columns, found = described["columns"], {}
    rows = pictures.cells(sheet, described["side"], len(columns))
    for row, cells in zip(described["rows"], rows, strict=False):
        shown = [(c, pictures.thumbnail(cell)) for c, cell in zip(columns, cells, strict=True)]
        entry = row["rank"], row["distance"], shown
        found.setdefault(row["class"], []).append(entry)
    return list(found.items())


def _verdict_plots(described):
    """Plot a verdict: its arms' errors and differences, and the differences by class."""
    arms, classes, base = described["arms"], described["classes"], verdict_lib.BASELINE
    error = next((arm["error"] for arm in arms if arm["name"] == base), None)
    keys = ("name", "delta", "delta_ci95", "kind")
    errors = [plots.Estimate(arm["name"], arm["error"], arm["ci95"], arm["kind"]) for arm in arms]
    differences, by_class = (
        [plots.Estimate(*(row[key] for key in keys)) for row in rows] for rows in (arms, classes)
    )
    title = f"difference to {base}, points"
    return {
        "arms": plots.forest("arms", [("error, %", error, errors), (title, 0.0, differences)]),
        "classes": plots.forest("class-errors", [(f"{described['best']}: {title}", 0.0, by_class)]),
    }
