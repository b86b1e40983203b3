"""Machines that are set up without being reached: user-data for their first boot."""
