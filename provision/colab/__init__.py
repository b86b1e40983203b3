"""Google Colab: Drive, secrets and consent."""

from provision.colab.secrets import secret

__all__ = ["secret"]
