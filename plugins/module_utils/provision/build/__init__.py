"""Compiling MRtrix3, or a module of it, in its source tree."""
