"""The client: its calls, its tries, and both of its forms against the real service."""
