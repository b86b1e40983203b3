"""Checking the manifest of a build."""

from __future__ import annotations

import json
import math

from .errors import NoBuild
from .names import key_of

MANIFEST = "manifest.json"
_WORD_LIMIT = 1000  # characters of one text in a manifest
_NAME_LIMIT = 200  # characters of a build's name: with its endings, a file name has at most 255
_DIGITS_LIMIT = 18
# The fields that a manifest must have, and their types.
_FIELDS = {
    "tool": str,
    "version": str,
    "release": str,
    "arch": str,
    "cpu": str,
    "glibc": str,
    "asked": list,
    "commands": list,
    "complete": bool,
    "unpacked": int,
    "created": (int, float),
}
_MORE = {"repo": (str, type(None)), "belongs_to": (str, type(None)), "cpu_flags": list, "build_seconds": (int, float)}
_LIMITS = {"created": 1 << 40, "unpacked": 1 << 36}


def check_manifest(manifest):
    """Return a manifest if its fields are present, of the right types and within limits; else raise NoBuild."""
    if not isinstance(manifest, dict):
        raise NoBuild("its manifest is not a JSON object")
    for name, value in manifest.items():
        if not (_is_word(name) and _is_plain(value)):
            raise NoBuild(f"its manifest has an invalid field {name[:60]!a}")
    wrong = [name for name, kind in _FIELDS.items() if not _is_kind(manifest.get(name), kind)]
    wrong = wrong or [name for name, limit in _LIMITS.items() if not 0 <= manifest[name] <= limit]
    wrong = wrong or [name for name, kind in _MORE.items() if name in manifest and not isinstance(manifest[name], kind)]
    if wrong:
        raise NoBuild(f"its manifest has a missing or invalid field {wrong[0]!r}")
    if len(key_of(manifest)) > _NAME_LIMIT:
        raise NoBuild("its name would be too long")
    return manifest


def _is_kind(value, kind):
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _is_word(value):
    """Return whether a value is a short text that can be encoded, unlike one with half a surrogate pair."""
    if not isinstance(value, str) or len(value) > _WORD_LIMIT:
        return False
    try:
        return bool(value.encode()) or not value
    except UnicodeEncodeError:
        return False


def _is_plain(value):
    """Return whether a value is of a type that manifests have: a text, number, boolean, null, or list of texts."""
    if isinstance(value, list):
        return all(map(_is_word, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (bool, int)) or _is_word(value)


def _integer(digits):
    if len(digits) > _DIGITS_LIMIT:
        raise ValueError("a number is too long")
    return int(digits)


def parsed(text):
    """Return the manifest in a JSON text; raise NoBuild if it is invalid."""
    try:
        return check_manifest(json.loads(text, parse_int=_integer))
    except (ValueError, RecursionError) as error:
        raise NoBuild("its manifest is not JSON") from error
