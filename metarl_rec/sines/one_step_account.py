"""What the comparison of MAML, FOMAML, Meta-SGD and joint training found, as bars, tables and sentences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.protocols.result import Bar, Panel, Table, mean_and_error, measured
from metarl_rec.sines.figures import error_curve, error_text, median_text, over_seeds, span_text, worse_text
from metarl_rec.sines.studies import OneStepStudy

__all__ = ["one_step_bars", "one_step_panels", "one_step_tables", "one_step_verdict"]

_PAIRS = [
    ("Meta-SGD", "MAML"),
    ("Meta-SGD", "FOMAML"),
    ("FOMAML", "MAML"),
    ("MAML", "joint training"),
    ("MAML", "joint training, tuned rate"),
    ("joint training, tuned rate", "random weights, tuned rate"),
]
_ORIENTATION = "A public re-implementation reports MAML .67 and Meta-SGD .31, with no protocol given: orientation only."


def _gap(study: OneStepStudy, learner: str, against: str, step: int) -> NDArray[np.float64]:
    """Returns paired differences of the error after `step`, averaged over training seeds: [N]."""
    return over_seeds(study.errors[learner], step) - over_seeds(study.errors[against], step)


def _gap_text(study: OneStepStudy, learner: str, against: str, step: int) -> str:
    for name in (learner, against):
        if error_text(study.errors[name], step) == "diverges":
            return f"{name} diverges"
    return measured(_gap(study, learner, against, step), 3, sign=True)


def one_step_bars(study: OneStepStudy) -> list[Bar]:
    """Returns what the learners had to show."""
    mean, error = mean_and_error(_gap(study, "Meta-SGD", "MAML", 1))
    seeds = study.errors["Meta-SGD"][:, :, 1] - study.errors["MAML"][:, :, 1]
    each = ", ".join(measured(gap, 3, sign=True) for gap in seeds)
    return [
        Bar(
            "Meta-SGD below MAML, paired over tasks, after one step",
            "difference below -2 standard errors",
            f"{mean:+.3f} ± {error:.3f} ({mean / error:+.0f} standard errors); each training: {each}",
            mean < -2 * error,
        )
    ]


def one_step_tables(study: OneStepStudy) -> list[Table]:
    """Returns errors of every learner, and paired differences."""
    last = study.errors["MAML"].shape[2] - 1
    rows = [
        [
            name,
            error_text(errors, 0, 2),
            error_text(errors, 1),
            span_text(errors, 1),
            median_text(errors, 1),
            error_text(errors, last),
            median_text(errors, last),
            worse_text(errors, 1),
            worse_text(errors, last),
            f"{np.mean(study.rates[name]):.3g}",
        ]
        for name, errors in study.errors.items()
    ]
    pairs = [
        [
            f"{learner} minus {against}",
            _gap_text(study, learner, against, 1),
            f"{(_gap(study, learner, against, 1) < 0).mean():.1%}",
            _gap_text(study, learner, against, last),
        ]
        for learner, against in _PAIRS
    ]
    return [
        Table(
            "MAML's tasks: mean squared error by inner steps at test",
            [
                "learner",
                "not adapted",
                "mean after 1",
                "trainings",
                "median after 1",
                f"mean after {last}",
                f"median after {last}",
                "tasks made worse by 1",
                f"tasks made worse by {last}",
                "mean rate",
            ],
            rows,
            "Mean ± standard error over tasks, each task averaged over trainings; `trainings`: lowest to highest mean "
            "after one step. All meta-learners are trained for one step. Meta-SGD's learned rates, some of them large "
            f"or negative, are good for that step and not for {last}. {_ORIENTATION}",
            ["Meta-SGD"],
        ),
        Table(
            "MAML's tasks: paired differences (negative: the first is better)",
            ["pair", "after 1", "tasks where the first is better", f"after {last}"],
            pairs,
        ),
    ]


def one_step_panels(study: OneStepStudy) -> list[Panel]:
    """Returns error by inner step."""
    curves = [error_curve(name, errors) for name, errors in study.errors.items()]
    return [Panel("MAML's tasks", "inner step", "mean squared error", curves)]


def one_step_verdict(study: OneStepStudy) -> list[str]:
    """Returns sentences on what won and by how much."""
    errors = study.errors
    last = errors["MAML"].shape[2] - 1
    return [
        f"After one step on ten points Meta-SGD has {error_text(errors['Meta-SGD'], 1)}, MAML "
        f"{error_text(errors['MAML'], 1)}, FOMAML {error_text(errors['FOMAML'], 1)}; joint training at its best rate "
        f"{error_text(errors['joint training, tuned rate'], 1)}. Meta-SGD minus MAML, paired: "
        f"{_gap_text(study, 'Meta-SGD', 'MAML', 1)}; FOMAML minus MAML: {_gap_text(study, 'FOMAML', 'MAML', 1)}.",
        f"One step makes {worse_text(errors['MAML'], 1)} of MAML's tasks worse than not adapting and "
        f"{worse_text(errors['Meta-SGD'], 1)} of Meta-SGD's. With {last} steps MAML reaches "
        f"{error_text(errors['MAML'], last)}; Meta-SGD, whose rates are made for one step: "
        f"{error_text(errors['Meta-SGD'], last)}.",
    ]
