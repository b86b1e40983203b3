"""Saved builds: list, verify, prune, export and import them."""

from provision.store.builds import export, folder, import_, ls, prune, verify

__all__ = ["export", "folder", "import_", "ls", "prune", "verify"]
