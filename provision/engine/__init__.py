"""Finds the roles and runs them: the only place that imports Ansible."""
