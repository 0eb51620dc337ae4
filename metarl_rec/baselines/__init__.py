"""Baselines that learn online, each behind the `OnlinePolicy` interface; `metarl_rec.lineup` builds them by name."""

from metarl_rec.baselines.hierarchical_bayes import HierarchicalBayesPolicy
from metarl_rec.baselines.logistic_ucb import LogisticUCBPolicy

__all__ = ["HierarchicalBayesPolicy", "LogisticUCBPolicy"]
