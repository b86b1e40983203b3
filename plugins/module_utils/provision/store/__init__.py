"""Saved builds: packing, checking and unpacking their archives."""
