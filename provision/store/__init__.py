"""What a person does with saved builds: list them, read them through, delete old ones, carry them elsewhere."""

from provision.store.builds import export, folder, import_, ls, prune, verify

__all__ = ["export", "folder", "import_", "ls", "prune", "verify"]
