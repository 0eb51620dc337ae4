"""What the service remembers: codec of a user's state, keys, and the Redis that holds them."""
