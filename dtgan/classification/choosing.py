"""Which classes' synthetic images to use, and how many of them: a screening on validation images.

Each class is a factor that is on or off, the share of synthetic images among those shown another.
A design of Plackett and Burman (1946) varies all of them at once, so that the effect of each is a
difference of the means of two halves of all trainings. Errors are expected ones, the probability
that a classifier gives to wrong answers, which tell more of a few images than counts of right and
wrong. A class is left out only where it raises them by more than chance does; test images are never
seen.
"""

import itertools
import logging

import numpy as np
from scipy import stats

from dtgan.classification import data
from dtgan.classification.store import Seeds
from dtgan.classification.training import balanced_error

log = logging.getLogger("dtgan")

SEARCH = "choose"  # name of the search in the store
_LEAST_RUNS, _SPARE = 12, 4  # trainings at least, and more of them than factors


def choose(config, store, trainer, experiment):
    """Choose classes and share by the validation images of an Experiment, JSON-able.

    {"classes", "left_out", "share", "runs": trainings of the search, "num_val", "not_judged":
    {class: why it is used all the same}, "effects": {class: see `judge`}, "share_effect": of the
    greater share on the balanced expected error, "design": +-1 by run and factor, "val_errors":
    balanced, of answers, a run}.
    A class is judged where its validation images are `config.choose.least` or more, of two groups
    at least. Without any the choice is all classes and config.train.synthetic_share.
    """
    settings, classes = config.choose, experiment.classes
    offered = [k for k in range(1, len(classes)) if np.any(experiment.synthetic.label == k)]
    few = {k: _too_few(experiment, k, settings.least) for k in offered}
    judged = [k for k in offered if not few[k]]
    choice = {
        "classes": [classes[k] for k in offered],
        "left_out": [],
        "share": config.train.synthetic_share,
        "runs": 0,
        "num_val": len(experiment.val.label),
        "not_judged": {classes[k]: why for k, why in few.items() if why},
        "effects": {},
    }
    if not judged:
        return choice
    runs = np.tile(design(len(judged) + 1), (settings.repeats, 1))
    errors, val_errors = [], []
    for number, row in enumerate(runs):
        on = {k for k, sign in zip(judged, row, strict=False) if sign > 0}
        used = [classes[k] for k in offered if k not in judged or k in on]
        share = settings.shares[int(row[-1] > 0)]
        logits = _train(config, store, trainer, restrict(experiment, used), share, number)
        errors.append(-np.expm1(-trainer.cross_entropy(logits[0], experiment.val.label)))
        error = balanced_error(trainer.decide(logits), experiment.val.label, len(classes))
        val_errors.append(float(error[0]))
        log.info("search %d of %d: %.1f %%", number + 1, len(runs), 100 * val_errors[-1])
    found, share_effect = judge(
        runs,
        np.asarray(errors),
        experiment.val.label,
        experiment.val_groups,
        judged,
        settings.level,
    )
    harmful = [k for k in judged if harms(found[k])]
    return choice | {
        "classes": [classes[k] for k in offered if k not in harmful],
        "left_out": [classes[k] for k in harmful],
        "share": settings.shares[int(share_effect < 0)],
        "runs": len(runs),
        "effects": {classes[k]: effect for k, effect in found.items()},
        "share_effect": share_effect,
        "design": runs.tolist(),
        "val_errors": val_errors,
    }


def restrict(experiment, names):
    """Keep the synthetic images of some classes of an Experiment, by name."""
    numbers = [experiment.classes.index(name) for name in names]
    kept = np.isin(experiment.synthetic.label, numbers)
    return experiment._replace(synthetic=experiment.synthetic.take(kept))


def design(factors):
    """Make a two-level design for main effects: int [M, factors] of -1 and 1, columns orthogonal.

    Plackett and Burman's cyclic design: M - 1 is the least prime of the form 4 n + 3 for which M is
    12 or more and leaves 4 degrees of freedom; the first row tells the squares modulo that prime.
    """
    sizes = (m for m in itertools.count(max(_LEAST_RUNS, factors + _SPARE)) if m % 4 == 0)
    runs = next(m for m in sizes if all((m - 1) % n for n in range(2, int((m - 1) ** 0.5) + 1)))
    prime = runs - 1
    squares = {n * n % prime for n in range(prime)}
    row = np.array([1 if n in squares else -1 for n in range(prime)])
    return np.stack([*(np.roll(row, n) for n in range(prime)), -np.ones(prime, int)])[:, :factors]


def judge(runs, errors, label, groups, judged, level):
    """Estimate what the synthetic images of each class, and the greater share, do.

    runs: +-1 [M, F], a column for each class of `judged`, then one for the share; errors: float
    [M, N] in [0, 1] on validation images of label [N] and groups [N]. Returns ({class: {"balanced",
    "balanced_least", "own", "own_least"}}, effect of the greater share): rises of the mean error
    over classes, and of the error on the class itself; "_least": one-sided bounds of `level`.
    """
    present = np.unique(label)
    sizes = np.bincount(label)[label]
    balanced, bounds = effects(runs, errors, 1 / (len(present) * sizes), label, groups, level)
    found = {}
    for column, k in enumerate(judged):
        weights = (label == k) / sizes
        own, own_bounds = effects(runs, errors, weights, label, groups, level)
        found[k] = {
            "balanced": float(balanced[column]),
            "balanced_least": float(bounds[column]),
            "own": float(own[column]),
            "own_least": float(own_bounds[column]),
        }
    return found, float(balanced[-1])


def harms(effect):
    """Tell whether an effect of `judge` is harm beyond chance.

    The mean error over classes rises: for certain, or as an estimate while the error on the class
    itself rises for certain.
    """
    surely, itself = effect["balanced_least"] > 0, effect["own_least"] > 0
    return surely or (itself and effect["balanced"] > 0)


def effects(runs, errors, weights, label, groups, level):
    """Estimate each factor's effect on a weighted error: (effects, lower bounds), float [F] each.

    runs: +-1 [M, F] with orthogonal columns; errors: [M, N]; weights: [N], 0 for images that do not
    count. The effect is the mean over the runs with +1 less that over the runs with -1. Its
    variance is that over groups of images plus that over runs less that over their pairs, which is
    in both (two-way clusters of Cameron, Gelbach and Miller 2011), and at least the greater of the
    first two; the bound is Student's of `level`, of the fewer degrees of freedom of the two.
    """
    number, factors = runs.shape
    used = np.flatnonzero(weights)
    errors, weights, label = np.asarray(errors, float)[:, used], weights[used], label[used]
    names, member = np.unique(groups[used], return_inverse=True)
    member = np.eye(len(names))[member]  # [N, G]
    by_image = 2.0 * runs.T @ errors / number  # [F, N]
    effect = by_image @ weights
    spare = number - factors - 1
    if len(names) < 2:
        return effect, np.full(factors, -np.inf)
    for k in np.unique(label):
        by_image[:, label == k] -= by_image[:, label == k].mean(1, keepdims=True)
    basis = np.column_stack([np.ones(number), runs])
    left = (errors - basis @ (basis.T @ errors) / number) * weights
    scale = 4 / number / spare  # squared contrast, with the degrees of freedom
    images = ((by_image * weights) @ member) ** 2
    images = images.sum(1) * len(names) / (len(names) - 1)
    over_runs, both = scale * np.sum(left.sum(1) ** 2), scale * np.sum((left @ member) ** 2)
    variance = np.maximum(np.maximum(images, over_runs), images + over_runs - both)
    student = stats.t.ppf(level, min(spare, len(names) - 1))
    return effect, effect - student * np.sqrt(variance)


def lines(choice):
    """Format a choice as lines of text."""
    told = [f"not judged: {name}: {why}" for name, why in choice["not_judged"].items()]
    if not choice["runs"]:
        return [*told, "choice: all classes, since too few validation images can choose"]
    for name in choice["left_out"]:
        effect = {key: 100 * value for key, value in choice["effects"][name].items()}
        told.append(
            f"left out: synthetic {name}: {effect['balanced']:+.1f} points of expected validation "
            f"error (at least {effect['balanced_least']:+.1f}), {effect['own']:+.1f} on {name} "
            f"itself (at least {effect['own_least']:+.1f})"
        )
    used = ", ".join(choice["classes"]) or "none"
    return [
        *told,
        f"choice: synthetic {used}; share {choice['share']:g} of those shown; by "
        f"{choice['runs']} trainings on {choice['num_val']} validation images",
    ]


def _train(config, store, trainer, experiment, share, number):
    """Train run `number` of the search, unless it is stored: its logits [1, N, K] on val."""
    done = store.load(SEARCH, [number])
    if done is None:
        images = data.arm_images(experiment, None, True, True)
        until = config.choose.synthetic_until
        trained = trainer.train(images, experiment.val, [number], share, until)
        logits = trainer.evaluate(trained.variables, experiment.val.image)
        done = Seeds(logits, trained.val_error, trained.step, trained.shown)
        store.save(SEARCH, [number], done)
    return done.logits


def _too_few(experiment, label, least):
    """Say why the validation images of a class are too few to judge it; "" where they are not."""
    rows = experiment.val.label == label
    number, groups = int(rows.sum()), len(set(experiment.val_groups[rows]))
    if number < least:
        return f"{number} validation images, it takes {least} (data.fractions)"
    return "" if groups > 1 else "all its validation images are of one group"
