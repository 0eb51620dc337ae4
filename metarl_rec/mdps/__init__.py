"""Tabular Markov decision processes: a meta-learned planner over per-task estimates, and its baselines, compiled."""
