"""Learning a user's ratings from a few of them: draws, measures, the prior and adaptation from it."""
