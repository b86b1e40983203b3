"""What a browser would make of a page."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

# The smallest PNG that a browser shows; what is in it does not matter here.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    """The text of a page, its elements and their attributes."""

    def __init__(self, page: str | Path):
        super().__init__()
        self.html = page.read_text("utf-8") if isinstance(page, Path) else page
        self.text, self.elements = "", []
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str, name: str = "") -> list:
        """The attributes of all elements of a kind, or the values of one attribute."""
        found = [attributes for one, attributes in self.elements if one == tag]
        return [one[name] or "" for one in found if name in one] if name else found
