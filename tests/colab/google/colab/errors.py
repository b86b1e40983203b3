"""What the errors of the package have in common."""


class Error(Exception):
    """The base of most of them."""
