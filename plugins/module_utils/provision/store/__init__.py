"""Builds kept as archives: packed, proved, and taken apart again."""
