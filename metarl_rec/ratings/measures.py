"""Precision, nDCG and reciprocal rank of the first five of a ranked query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["at_five", "relevance"]

_GAIN = 1 / np.log2(np.arange(2, 7))


def relevance(ratings: NDArray[np.float64], setting: str) -> NDArray[np.bool_]:
    """Returns which of a query's items are relevant: its top five by rating, earlier first, or ratings of 4 and up."""
    if setting == "click":
        return ratings >= 4
    relevant = np.zeros(len(ratings), np.bool_)
    relevant[np.argsort(-ratings, kind="stable")[:5]] = True
    return relevant


def at_five(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns [3] precision, nDCG (ideal: as many relevant items as there are, five at most) and MRR; 0 without any."""
    hits = relevant[np.argsort(-scores, kind="stable")[:5]].astype(np.float64)
    if not hits.any():
        return np.zeros(3)
    ideal = _GAIN[: min(5, int(relevant.sum()))].sum()
    return np.array([hits.mean(), (hits @ _GAIN) / ideal, 1 / (1 + int(hits.argmax()))])
