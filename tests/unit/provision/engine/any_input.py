"""Values of every kind, as another version of Ansible may send them or a person may type them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

quickly = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(max_size=40) | st.sampled_from(["", "deps", "non-zero return code", "Note: full", "{name}", "{0}"])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=10
)
# What other programs say, and events._KNOWN looks for, among anything.
SAID = st.lists(TEXT | st.sampled_from([
    "sudo: a password is required", "No space left on device", "E: Temporary failure resolving 'x'", "\x1b[31m", "\0",
    "No package matching 'x'", "HTTP Error 404: Not Found", "The checksum for x did not match a; it was b",
    "Failed to fetch x",
]), max_size=3).map("\n".join)  # fmt: skip
