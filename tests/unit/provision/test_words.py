"""Numbers, times and names as people read them."""

import pytest

from provision.words import (
    as_flags,
    as_keywords,
    did_you_mean,
    format_age,
    format_bytes,
    format_seconds,
    no_such,
    shortened,
)


@pytest.mark.parametrize("written", ["mrtrix", "MRTRIX3", "mrtirx3"])
def test_the_nearest_name_is_offered(written):
    assert did_you_mean(written, ["deps", "mrtrix3"]) == "Did you mean 'mrtrix3'?"


def test_no_name_is_offered_when_none_is_near():
    assert did_you_mean("xyz", ["deps", "mrtrix3"]) == ""


def test_an_unknown_name_gets_the_nearest_and_the_list_of_all():
    assert no_such("role", "mrtrix", ["deps", "mrtrix3"]) == (
        "There is no role 'mrtrix'.", "Did you mean 'mrtrix3'? Roles: deps, mrtrix3.",
    )  # fmt: skip
    assert no_such("plot axis", 3, ["x", "y"], kinds="plot axes")[1] == "Plot axes: x, y."
    assert no_such("build", "mrtrix", [], where=" in /store", near=["mrtrix3"]) == (
        "There is no build 'mrtrix' in /store.", "Did you mean 'mrtrix3'?",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (2.13, "2.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (720, "12 min"),
        (3599.6, "1 h"),
        (3600 + 29, "1 h"),
        (3600 + 125, "1 h 2 min"),
        (7199, "2 h"),
        (90000, "25 h"),
    ],
)
def test_durations_read_well(seconds, words):
    assert format_seconds(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (20_800_000, "20.8 MB"), (3e12, "3.0 TB")],
)
def test_sizes_read_well(number, words):
    assert format_bytes(number) == words


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59.9, "60 s"), (60, "1 min"), (3599, "59 min"), (86_399, "23 h"), (2e6, "23 d")]
)
def test_ages_are_told_in_their_largest_unit(seconds, text):
    assert format_age(seconds) == text


def test_an_option_that_a_role_sets_is_spelt_as_the_caller_gives_it():
    text = "Debian has 3.0.3: use mrtrix3_version: any."
    assert as_keywords(text, "mrtrix3") == "Debian has 3.0.3: use version='any'."
    assert as_flags(as_keywords(text, "mrtrix3")) == "Debian has 3.0.3: use --version any."
    assert as_flags("link_dir='none'") == "--link-dir none"


def test_what_is_no_option_of_the_role_stays_as_it_is():
    for role in ("ants", ""):
        assert as_keywords("Use mrtrix3_version: any.", role) == "Use mrtrix3_version: any."


@pytest.mark.parametrize("most", [200, 51, 50, 40, 30])
def test_a_long_name_loses_its_middle_alone_and_as_little_as_need_be(most):
    text = "FODs of sub-01_ses-1_label-WM_dwimap.mif.gz   slice"
    found = shortened(text, most)
    assert len(found) == min(most, len(text))
    begin, end = (found.split("…") * 2)[:2] if most < len(text) else ("", "")
    assert (text.startswith(begin) and text.endswith(end)) and ("…" in found or found == text)


def test_of_several_long_names_each_keeps_its_ends_and_short_words_stay_whole():
    assert shortened("a_first_long_name.mif   + a_second_long_name.mif", 30) == "a_firs…e.mif   + a_seco…me.mif"
    assert shortened("volume 0 of 12 is shown", 5) == "volume 0 of 12 is shown"
