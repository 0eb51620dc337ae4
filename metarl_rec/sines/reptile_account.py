"""What the Reptile comparison found, as bars, tables and sentences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.protocols.result import Bar, Panel, Table, measured
from metarl_rec.sines.demonstration import PUBLISHED_ERROR
from metarl_rec.sines.figures import error_curve, error_text, median_text, over_seeds, span_text, worse_text
from metarl_rec.sines.studies import CHANGED, DEMONSTRATION, ONE_CHANGE, PUBLISHED, ReptileStudy

__all__ = ["reptile_bars", "reptile_panels", "reptile_tables", "reptile_verdict"]

_MEAN_BAR, _MEDIAN_BAR, _STRETCH = 0.12, 0.055, 0.05


def _medians(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the median over tasks after the last step, of each training seed."""
    return np.asarray(np.median(errors[:, :, -1], axis=1), np.float64)


def _reached(errors: NDArray[np.float64]) -> bool:
    return bool(over_seeds(errors, -1).mean() <= _MEAN_BAR and _medians(errors).mean() <= _MEDIAN_BAR)


def _found(errors: NDArray[np.float64]) -> str:
    text = f"mean {error_text(errors, -1)} over tasks, median {median_text(errors, -1)}"
    if len(errors) == 1:
        return text
    each = (errors[:, :, -1].mean(axis=1) <= _MEAN_BAR) & (_medians(errors) <= _MEDIAN_BAR)
    return f"{text}; trainings differ by {span_text(errors, -1)}; {each.sum()} of {len(each)} reach both"


def reptile_bars(study: ReptileStudy) -> list[Bar]:
    """Returns what Reptile had to show."""
    asked = f"mean <= {_MEAN_BAR}, median <= {_MEDIAN_BAR}"
    published, different, one, changed = (
        study.errors[PUBLISHED],
        study.distinct[PUBLISHED],
        study.errors[ONE_CHANGE],
        study.errors[CHANGED],
    )
    luck = (
        ""
        if _reached(published) and _reached(different)
        else "The bar is what a single training gave; with the published outer step trainings from different seeds "
        "differ by more than it leaves room for."
    )
    bars = [
        Bar("Reptile as published", asked, _found(published), _reached(published), luck),
        Bar("Reptile as published, ten different points", asked, _found(different), _reached(different), luck),
        Bar("Reptile with one change, outer step 1 for .1", asked, _found(one), _reached(one)),
        Bar(
            "Reptile with two changes, outer step 1 and minibatches of 2 (25 inner steps)",
            f"mean <= {_STRETCH} (stretch)",
            _found(changed),
            bool(over_seeds(changed, -1).mean() <= _STRETCH),
        ),
    ]
    if study.demonstration_task is not None:
        bars.append(
            Bar(
                "The published demonstration, its own random numbers",
                f"{PUBLISHED_ERROR} on its one task",
                f"{study.demonstration_task:.4f}",
                abs(study.demonstration_task - PUBLISHED_ERROR) < 0.001,
            )
        )
    return bars


def reptile_tables(study: ReptileStudy) -> list[Table]:
    """Returns errors of every recipe, and paired differences to the published one."""
    rows = [
        [
            name,
            error_text(errors, 0, 2),
            error_text(errors, -1, 4),
            span_text(errors, -1, 4),
            median_text(errors, -1, 4),
            error_text(study.distinct[name], -1, 4),
            median_text(study.distinct[name], -1, 4),
            worse_text(errors, -1),
            f"{np.mean(study.rates[name]):.3g}",
        ]
        for name, errors in study.errors.items()
    ]
    steps = study.errors[PUBLISHED].shape[2] - 1
    base = over_seeds(study.errors[PUBLISHED], -1)
    pairs = [
        [
            name,
            measured(over_seeds(errors, -1) - base, 4, sign=True),
            f"{(over_seeds(errors, -1) < base).mean():.1%}",
        ]
        for name, errors in study.errors.items()
        if name != PUBLISHED
    ]
    return [
        Table(
            f"Reptile's tasks: mean squared error after {steps} inner steps",
            [
                "learner",
                "not adapted",
                f"mean after {steps}",
                "trainings",
                "median",
                "mean, ten different points",
                "median, ten different points",
                "tasks made worse",
                "rate at test",
            ],
            rows,
            "Mean ± standard error over tasks, each task averaged over trainings; `trainings`: lowest to highest mean; "
            "median over tasks, averaged over trainings. Joint training takes one step a task in training and is "
            "fine-tuned, like random weights, at the rate that is best on validation tasks.",
            [CHANGED],
        ),
        Table(
            f"Reptile's tasks: paired difference to {PUBLISHED} (negative is better)",
            ["learner", f"difference after {steps}", "tasks with a smaller error"],
            pairs,
        ),
    ]


def reptile_panels(study: ReptileStudy) -> list[Panel]:
    """Returns error by inner step, of all learners and of Reptile's recipes alone after the first quarter of steps."""
    axes = ("inner step", "mean squared error")
    every = [error_curve(name, errors) for name, errors in study.errors.items()]
    start = study.errors[PUBLISHED].shape[2] // 4
    late = [
        error_curve(name, errors, start)
        for name, errors in study.errors.items()
        if name.startswith("Reptile") and over_seeds(errors, -1).mean() < 1
    ]
    panels = [Panel("Reptile's tasks", *axes, every)]
    return [*panels, Panel(f"Reptile's recipes from step {start} on", *axes, late)] if late else panels


def reptile_verdict(study: ReptileStudy) -> list[str]:
    """Returns sentences on what won and by how much."""
    published, changed = study.errors[PUBLISHED], study.errors[CHANGED]
    seeds = len(published)
    sentences = [
        f"Reptile exactly as published ends at {error_text(published, -1)} over {published.shape[1]:,} tasks (median "
        f"{median_text(published, -1)}), on average over {seeds} trainings with means of "
        f"{span_text(published, -1)}. The published figure is the error of one task.",
        f"With the outer step at 1 instead of .1 and nothing else changed it ends at "
        f"{error_text(study.errors[ONE_CHANGE], -1, 4)}, at the same cost; with minibatches of 2 as well (25 inner "
        f"steps in training, near the 32 of the test) at {error_text(changed, -1, 4)}, paired difference to the "
        f"published recipe {measured(over_seeds(changed, -1) - over_seeds(published, -1), 4, sign=True)}.",
        f"Without meta-learning, joint training and {published.shape[2] - 1} steps at its best rate end at "
        f"{error_text(study.errors['joint training'], -1)}. Adapting makes {worse_text(published, -1)} of tasks worse "
        f"as published and {worse_text(changed, -1)} with both changes.",
    ]
    if study.demonstration_task is not None:
        found = study.errors[DEMONSTRATION]
        sentences.append(
            f"The published demonstration, run with its own random numbers, gives {study.demonstration_task:.4f} on "
            f"its one task (published {PUBLISHED_ERROR}), so the algorithm is the same; over all test tasks the same "
            f"weights have {error_text(found, -1)}, median {median_text(found, -1)}."
        )
    return sentences
