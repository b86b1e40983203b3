"""Data with a known answer, and the demo that runs MRtrix3 on it."""
