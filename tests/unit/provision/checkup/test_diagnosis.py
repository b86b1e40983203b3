"""How a diagnosis is told."""

from __future__ import annotations

from provision.checkup.diagnosis import Diagnosis, Finding

FOUND = Diagnosis(
    {
        "a": Finding("ok", "fine"),
        "long": Finding("warn", "short <b>", "Add."),
        "c": Finding("fail", "bad\x1b[2J", "Mend."),
    },
    0.5,
)


def test_a_line_for_each_check_and_its_advice_below():
    assert repr(FOUND).splitlines() == [
        "ok    a     fine",
        "warn  long  short <b>",
        "            Add.",
        "fail  c     bad [2J",
        "            Mend.",
        "1 failure, 1 warning.",
    ]


def test_colours_are_for_those_who_ask():
    assert "\x1b" not in repr(FOUND) and "\x1b[31mfail\x1b[0m" in FOUND.table().text(colours=True)


def test_a_notebook_shows_a_table():
    html = FOUND._repr_html_()
    assert html.startswith("<table") and "short &lt;b&gt;" in html and "Add." in html and "bad [2J" in html


def test_a_warning_is_no_failure():
    assert not FOUND.ok and Diagnosis({"a": Finding("warn", "x", "y")}, 0).ok
    assert FOUND.to_dict()["checks"]["long"] == {"verdict": "warn", "found": "short <b>", "advice": "Add."}
