"""Pages that are files of their own: what the templates of all of them share."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.words import format_bytes, format_seconds

if TYPE_CHECKING:
    from jinja2 import BaseLoader, Environment


def page_templates(loader: BaseLoader) -> Environment:
    """Return the environment of a page's templates: values are escaped, and a missing one is an error.

    They extend ``page.html`` and import from ``macros.html``, which are beside this file.
    """
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=ChoiceLoader([loader, FileSystemLoader(Path(__file__).parent)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.filters |= {"uri": _uri, "seconds": format_seconds, "bytes": format_bytes}
    templates.tests["drawing"] = lambda drawn: not isinstance(drawn, ProvisionError)
    return templates


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
