"""User simulator: every user a task."""
