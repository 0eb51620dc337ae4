"""Protocols: what a published or our own table asks, run on its data, and reported in one form."""
