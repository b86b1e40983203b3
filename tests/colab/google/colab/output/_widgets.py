"""Widgets that are not Colab's own: where the page finds the code that draws them."""

_VERSION = "5.0.0a"
_installed_url = None


def enable_custom_widget_manager(version=_VERSION):
    """Let the page draw them."""
    global _installed_url
    if version != _VERSION:
        raise ValueError(f"Unknown widgets version: {version}")
    _installed_url = "https://example.org/manager.min.js"


def disable_custom_widget_manager():
    """Let it draw Colab's own alone."""
    global _installed_url
    _installed_url = None
