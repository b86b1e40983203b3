"""Requests to the page."""

from google.colab import errors
from google.colab._page import page


class MessageError(errors.Error):
    """The page has answered with an error."""


def blocking_request(request_type, request="", timeout_sec=5, parent=None):
    """Return the page's answer, None when there is none in time; nobody waits for it here."""
    if not page.kernel:
        raise AttributeError("'NoneType' object has no attribute 'kernel'")  # of get_ipython(), which is None
    reply = page.answer(request_type, request)
    if reply is None:
        return None
    if "error" in reply:
        raise MessageError(reply["error"])
    return reply.get("data")
