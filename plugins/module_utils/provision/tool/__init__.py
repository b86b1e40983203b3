"""Testing, installing and removing a tool in its own folder."""
