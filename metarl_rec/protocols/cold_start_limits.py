"""What limits a cold-start bar that is not reached: the variants that were tried, with their paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metarl_rec.protocols.result import Bar

__all__ = ["HARM", "HITS", "STRETCH", "remarked"]

HITS = "adapted, greedy: hits at 40"
STRETCH = "stretch: adapted, greedy above tuned HB"
HARM = "people harmed at 40"
_REMARKS = {
    HITS: (
        "The mean moves by some hundredths with the parameters that those who judge choose, and its "
        "standard error over people is in the table; with the same information tuned HB is level. What would move "
        "it is a richer prior: see the stretch."
    ),
    STRETCH: (
        "Tried on cross-fitted people, hits at 40 against the prior that ships, on ML-100K / ml-1m-cold: item "
        "attributes as a second kernel +.17 ± .05 / +.19 ± .07 (kept; tuned HB has it as well); a mixture of "
        "Gaussians by activity +.01 ± .04 / +.05 ± .05; train users as atoms .00 ± .05 / +.08 ± .05; a joint "
        "spectrum of likes and of what was rated -.04 ± .05 / +.09 ± .06; a learned re-ranking by what a linear "
        "model cannot say, logistic -.05 ± .07 / -.01 ± .07, boosted trees +.07 ± .08 (ML-100K). What limits it: a "
        "step preconditioned by the posterior covariance is HB's posterior mean, on users who stand still the "
        "policy-gradient term has nothing to add to it, and some hundreds of train users show no prior that is "
        "richer than a Gaussian. Where users move, see the protocols drift and real-drift."
    ),
    HARM: (
        "Tried on cross-fitted people of ML-100K (python -m tests.learning.guards), cost in hits and percentage points "
        "of people harmed, of 14.5 % without a guard: a bonus for what the unadapted policy would show -.07 ± .03, "
        "-.2 ± .6 to -.14 ± .04, -.7 ± .6; nine and eight tenths of the way -.07 ± .03, +.1 ± .5 and -.16 ± .04, "
        "-1.0 ± .6; caution 2 and 4 -.05 ± .03, -.1 ± .5 and -.10 ± .03, +.5 ± .5; more noise -.13 ± .04, -1.0 ± .6. "
        "With an earlier inner loop and 15.0 %: weights by evidence -.25, 14.4 %; a margin of .5 posterior deviations "
        "-.59, 13.9 %. What limits it: most harm is one or two hits of luck, which every guard pays for with more than "
        "a tenth of a hit a percentage point, and the unadapted policy is better for held-out people, whose space has "
        "an eighth more users, than for cross-fitted ones. Shares of a few hundred people are uncertain by two points."
    ),
}


def remarked(bars: Sequence[Bar]) -> list[Bar]:
    """Returns the bars, those that are not reached with what limits them."""
    return [bar if bar.reached else replace(bar, remark=_remark(bar.name)) for bar in bars]


def _remark(name: str) -> str:
    return next((remark for begin, remark in _REMARKS.items() if name.startswith(begin)), "")
