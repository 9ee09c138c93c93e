"""How tests of properties draw examples: the same ones each time, and none is written down."""

from hypothesis import settings

drawn = settings(deadline=None, derandomize=True, database=None, max_examples=200)
"""Stands above `given`."""
