"""Bars that follow from paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.protocols.result import not_below

# Mean -.1, standard error .1.
GAPS = np.array([-0.2, 0.0])


@pytest.mark.parametrize(
    ("gaps", "level", "reached"),
    [
        (GAPS, 31.0, True),
        (GAPS, 29.0, False),
        (GAPS - 0.2, 100.0, False),
        (np.repeat(GAPS, 100), 100.0, False),
        (np.repeat(GAPS + 0.1, 100), 5.0, True),
    ],
    ids=["within the margin", "too few to say", "below", "many, and below", "many, and level"],
)
def test_not_below_takes_more_than_few_people(gaps: np.ndarray, level: float, reached: bool) -> None:
    assert not_below("what", gaps, level).reached is reached
