"""Data whose answer is known, and what MRtrix3 makes of it."""
