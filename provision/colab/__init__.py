"""The door for Google Colab."""

from provision.colab.secrets import secret

__all__ = ["secret"]
