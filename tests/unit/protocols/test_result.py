"""Bars that follow from paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.protocols.result import not_below

# Mean -.1, standard error .1.
GAPS = np.array([-0.2, 0.0])


@pytest.mark.parametrize(
    ("gaps", "margin", "reached"),
    [
        (GAPS, None, True),
        (GAPS, 0.31, True),
        (GAPS, 0.29, False),
        (GAPS - 0.2, 1.0, False),
        (np.repeat(GAPS, 100), None, False),
        (np.repeat(GAPS + 0.1, 100), 0.05, True),
    ],
    ids=["within errors", "within the margin", "too few to say", "below", "many, and below", "many, and level"],
)
def test_not_below_takes_more_than_few_people_where_there_is_a_margin(
    gaps: np.ndarray, margin: float | None, reached: bool
) -> None:
    assert not_below("what", gaps, margin).reached is reached
