"""Populations that training plays: people on whom no distribution can be fitted are refused in words."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.errors import DataError
from metarl_rec.populations import fit_prior_on
from tests.unit.synthetic import small_config, small_problem


def test_fit_prior_on_people_who_like_nothing_is_refused_with_the_remedy() -> None:
    problem = small_problem(small_config())
    nothing = np.zeros((2, len(problem.space.popularity)), np.uint8)
    with pytest.raises(DataError, match=r"cannot be fitted on 2 users: rewards are all the same.*lower threshold"):
        fit_prior_on(problem.space, nothing)
