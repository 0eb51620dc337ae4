"""Bernoulli bandits: a meta-learned index over per-task fast weights, and the classic baselines, compiled."""
