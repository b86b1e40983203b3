"""Viewers of images."""
