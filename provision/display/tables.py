"""Tables for pages of a notebook."""

from __future__ import annotations


def table(caption: str, rows: str, head: str = "") -> str:
    """Return a table for a page; its caption begins where the rows do, and not above their middle.

    Parameters
    ----------
    caption, rows, head : str
        HTML: what stands above the rows, the rows, and a row of names.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> table("1 run", "<tr><td>sshd</td></tr>")
    "<table><caption style='text-align:left'>1 run</caption><tbody><tr><td>sshd</td></tr></tbody></table>"
    """
    return f"<table><caption style='text-align:left'>{caption}</caption>{head}<tbody>{rows}</tbody></table>"


def row(head: str, *cells: str) -> str:
    """Return a row of such a table.

    Parameters
    ----------
    head, *cells : str
        HTML: whose row it is, and what it has to tell.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> row("sshd", "ready")
    "<tr><th>sshd</th><td style='text-align:left'>ready</td></tr>"
    """
    told = "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells)
    return f"<tr><th>{head}</th>{told}</tr>"
