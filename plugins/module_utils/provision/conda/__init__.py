"""Conda packages from an explicit list, laid out without conda."""
