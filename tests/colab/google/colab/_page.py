"""The page in the browser, and the Google account behind it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Page:
    """What the page answers, and what it was asked.

    Attributes
    ----------
    open : bool
        Whether there is a page at all; a notebook that another program runs has none.
    secrets : dict
        ``{name: (value, whether this notebook may read it)}``.
    gives_drive : bool
        Whether the person lets the notebook use their Drive.
    mounts : bool
        Whether the runtime can mount Drive, which not all can.
    flushes : bool
        Whether Drive takes what is written back to it.
    cloud : pathlib.Path
        The person's Drive itself, which outlives the machine.
    kernel : bool
        Whether this process is the notebook's kernel; what a ! line starts is not.
    asked : list of str
        The kinds of its requests, in their order.
    """

    open: bool = True
    secrets: dict = field(default_factory=dict)
    gives_drive: bool = True
    mounts: bool = True
    flushes: bool = True
    cloud: Path = Path("/srv/google-drive")
    kernel: bool = True
    asked: list = field(default_factory=list)

    def answer(self, kind, request):
        """Return the answer to a request: ``{"data": ...}`` or ``{"error": ...}``, None for none in time."""
        self.asked.append(kind)
        if not self.open:
            return None
        if kind == "GetSecret":
            value, access = self.secrets.get(request["key"], (None, False))
            if value is None:
                return {"data": {"exists": False}}
            return {"data": {"exists": True, "access": access, **({"payload": value} if access else {})}}
        if kind == "request_auth" and not self.gives_drive:
            return {"error": "Error: credential propagation was unsuccessful"}
        return {"data": {}}


page = Page()
