"""How to connect to a machine: lines for a terminal, and a box with a button for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any

from provision.engine import catalog
from provision.words import printable

# The password is asked of the kernel when the button is pressed and written into the page alone: neither the notebook's
# file nor the widget's state, which is saved with it, ever has it.
_BUTTON = """
export default {
  render({ model, el }) {
    el.innerHTML = model.get("box");
    const place = el.querySelector(".provision-password");
    const button = document.createElement("button");
    const password = document.createElement("code");
    button.textContent = "Show";
    password.style.userSelect = "all";
    place.replaceChildren(button, " ", password);
    button.onclick = () => {
      if (password.textContent) { password.textContent = ""; button.textContent = "Show"; }
      else { model.send({}); }
    };
    model.on("msg:custom", (message) => {
      password.textContent = message.password || message.problem;
      button.textContent = "Hide";
    });
  }
};
"""


def way_in(reports: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the role whose report says best how to connect to a machine, and that report.

    Parameters
    ----------
    reports : mapping of str to mapping
        The reports of the roles on one machine.

    Returns
    -------
    role : str
        ``ngrok``, ``reverse_ssh`` or ``sshd``; empty if there is no way to connect.
    report : dict
        Its report, including the ``password_file`` of sshd.

    Examples
    --------
    >>> way_in({"sshd": {"command": "ssh -p 2222 root@127.0.0.1"}})
    ('sshd', {'command': 'ssh -p 2222 root@127.0.0.1'})
    """
    for role in ways_in():
        report = reports.get(role) or {}
        if report.get("command") and report.get("state", "started") == "started" and report.get("works", True):
            server = reports.get("sshd") or {}
            password = {"password_file": server["password_file"]} if server.get("password_file") else {}
            return role, {**report, **password}
    return "", {}


def ways_in() -> list[str]:
    """Return the roles that provide a connection, tunnels before the server itself."""
    ways = [role for role in catalog.roles().values() if role.lets_in]
    return [role.name for role in sorted(ways, key=lambda role: role.lets_in != "tunnel")]


def lines(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield how to connect to a machine as lines of plain text; none if there is no way to connect.

    Parameters
    ----------
    reports : mapping of str to mapping
        The reports of the roles on one machine.

    Yields
    ------
    str
        A line.

    Examples
    --------
    >>> sshd = {"command": "ssh -p 2222 root@127.0.0.1", "host": "127.0.0.1", "fingerprint": "SHA256:abc"}
    >>> list(lines({"sshd": sshd}))
    ['    from here    ssh -p 2222 root@127.0.0.1', '    fingerprint  SHA256:abc']
    """
    role, report = way_in(reports)
    for name, value in _rows(role, report):
        first, *rest = map(printable, value.splitlines())
        yield f"    {name:12} {first}"
        yield from (f"{'':17}{line}" for line in rest)
    if report.get("password_file"):
        yield f"    {'password':12} in {report['password_file']}, readable by its owner only"


def box(reports: Mapping[str, Mapping[str, Any]], host: str = "") -> str:
    """Return how to connect to a machine as HTML; an empty string if there is no way to connect.

    Parameters
    ----------
    reports : mapping of str to mapping
        The reports of the roles on one machine.
    host : str
        The name of the machine, if there are several.

    Returns
    -------
    str
        A table. It does not contain the password; an element of the class ``provision-password`` says where that is.

    Examples
    --------
    >>> box({})
    ''
    """
    role, report = way_in(reports)
    if not report:
        return ""
    rows = [(escape(name), f"<pre style='{_CODE}'>{escape(value)}</pre>") for name, value in _rows(role, report)]
    if report.get("password_file"):
        where = f"<code>r.sshd.password</code> reads it from {escape(report['password_file'])}"
        rows.append(("password", f"<span class='provision-password'>{where}</span>"))
    cells = (f"<tr><th style='{_CELL}'>{name}</th><td style='{_CELL}'>{value}</td></tr>" for name, value in rows)
    title = f"Connect{f' to {escape(host)}' if host else ''}"
    return f"<div style='{_BOX}'><b>{title}</b><table style='margin:0'><tbody>{''.join(cells)}</tbody></table></div>"


# Its colours are the page's own, be it light or dark.
_BOX = "border:1px solid rgba(128,128,128,.5);border-radius:6px;padding:.6em 1em;margin:.5em 0;max-width:64em"
_CELL = "text-align:left;vertical-align:top;background:none;padding:.2em 1em .2em 0"
_CODE = "margin:0;white-space:pre-wrap;overflow-wrap:anywhere;user-select:all;background:none"


def with_button(html: str, read_password: Any) -> Any | None:
    """Return a widget that adds a button to a box, which reveals the password.

    Parameters
    ----------
    html : str
        What `box` returned.
    read_password : callable
        Returns the password, or raises an exception that says why there is none.

    Returns
    -------
    anywidget.AnyWidget or None
        None if anywidget is not installed.

    Examples
    --------
    >>> with_button("<div></div>", lambda: "secret")  # doctest: +SKIP
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class Box(anywidget.AnyWidget):
        _esm = _BUTTON
        box = traitlets.Unicode().tag(sync=True)

    widget = Box(box=html)

    def answer(widget, _message, _buffers) -> None:
        try:
            widget.send({"password": read_password()})
        except Exception as error:  # shown where it was asked for: nobody reads a kernel's log
            widget.send({"problem": str(error)})

    widget.on_msg(answer)
    return widget


def _rows(role: str, report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows: a name and a text."""
    names = {
        "command": "from here" if role == "sshd" and _is_loopback(report.get("host")) else "ssh",
        "fingerprint": "fingerprint",
        "known_hosts": "known_hosts",
        "config": "ssh config",
    }
    for field, name in names.items():
        value = str(report.get(field) or "").strip("\n")
        if value:
            yield name, value
    if report.get("expires"):
        yield "closes", _moment(report["expires"])


def _is_loopback(host: Any) -> bool:
    return str(host) in ("localhost", "::1") or str(host).startswith("127.")


def _moment(text: str) -> str:
    """Return an ISO 8601 time in a readable form; anything else unchanged."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return printable(str(text))
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or 'UTC'}"
