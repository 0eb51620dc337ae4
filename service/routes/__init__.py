"""HTTP routes: parse, call, answer; nothing else."""
