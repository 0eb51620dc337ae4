"""Meta-parameters: every inner setting that is accepted can be started from, and comes back as one that is accepted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams


@pytest.mark.parametrize("step", [1e-6, 0.5, 1.0, 1.999, math.nextafter(2.0, 0.0)])
def test_start_any_step_size_comes_back_within_its_bounds(step: float) -> None:
    base = InnerParams(step_sizes=(step, 1.0))
    found = MetaParams.start(3, base, 1.0).inner_params(base)
    assert found.step_sizes == pytest.approx((min(step, 1.999), 1.0), rel=1e-5)
    assert InnerParams.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_inner_params_learned_far_away_stay_within_their_bounds(logit: float) -> None:
    base = InnerParams(fatigue=(1.0, 1.0, 1.0))
    start = MetaParams.start(3, base, 1.0)
    far = replace(start, step_logits=start.step_logits + logit, raw_fatigue=start.raw_fatigue + 1000 * logit)
    found = far.inner_params(base)
    assert InnerParams.model_validate_json(found.model_dump_json()) == found


def test_start_any_fatigue_comes_back_within_its_bounds() -> None:
    for fatigue in ((100.0, 0.03, 1e-6), (1000.0, 70.0, 71.0)):
        base = InnerParams(fatigue=fatigue)
        found = MetaParams.start(3, base, 1.0).inner_params(base)
        assert found.fatigue == pytest.approx(fatigue, rel=1e-5)
        assert InnerParams.model_validate_json(found.model_dump_json()) == found


def test_start_fatigue_is_the_inverse_of_softplus() -> None:
    # log(exp(.3) - 1), log(exp(1) - 1), log(exp(10) - 1).
    raw = MetaParams.start(3, InnerParams(fatigue=(0.03, 0.1, 1.0)), 1.0).raw_fatigue
    torch.testing.assert_close(raw, torch.tensor([-1.0502256, 0.5413249, 9.9999546]))
