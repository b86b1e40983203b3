"""What all of these tests stand on."""

from own_place import lock_place, state_place  # noqa: F401
