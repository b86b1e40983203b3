"""What the tests of pictures share."""

from .standin import mrtrix  # noqa: F401
