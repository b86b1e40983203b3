"""What all of these tests stand on."""

from lock_place import lock_place  # noqa: F401
