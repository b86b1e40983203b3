"""The actions: run, stop, status, remove and logs, and what they return."""
