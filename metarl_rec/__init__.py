"""Meta-learned PPO recommendations: data, learning core and evaluation."""
