"""Sine regression: few-shot curve fitting, the smallest problem on which meta-learners are compared."""
