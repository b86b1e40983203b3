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


def test_advice_that_several_checks_in_a_row_share_is_given_once_below_them():
    same = {name: Finding("fail", "not found", "Install it.") for name in ("a", "b")}
    lines = repr(Diagnosis({**same, "c": Finding("ok", "fine"), "d": same["a"]}, 0.1)).splitlines()
    assert [line.split()[0] for line in lines] == ["fail", "fail", "Install", "ok", "fail", "Install", "3"]
    assert Diagnosis(same, 0.1).to_dict()["checks"]["a"]["advice"] == "Install it."
