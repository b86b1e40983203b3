"""Texts with which other machines set themselves up, and a cluster's users find what is installed."""
