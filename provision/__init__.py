"""MRtrix3 on a fresh machine: Ansible roles, driven from Python."""

__version__ = "0.1.0"
