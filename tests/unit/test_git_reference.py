"""What a version means in a repository that is not here."""

import pytest

from plugins.module_utils.provision_releases import COMMITS
from plugins.modules import git_reference

LISTING = (
    "aaa\trefs/heads/master\nbbb\trefs/tags/3.0.7\nccc\trefs/tags/3.0.8\nddd\trefs/tags/3.0.8^{}\neee\trefs/heads/dev\n"
)


@pytest.mark.parametrize(
    ("version", "meaning"),
    [
        ("3.0.8", ("tag", "ddd")),
        ("dev", ("branch", "eee")),
        ("97b21e56af52", ("commit", "97b21e56af52")),
        ("3.0.9", None),
        ("abc", None),
    ],
)
def test_a_version_is_a_tag_a_branch_or_a_commit(version, meaning):
    assert git_reference.choose(git_reference.parse(LISTING), version) == meaning


def test_a_misspelt_version_gets_the_nearest_ones():
    found = git_reference.parse(LISTING)
    assert git_reference.nearest(found, "3.0.9")[0] in ("3.0.8", "3.0.7")
    assert git_reference.nearest(found, "devel") == ["dev"]
    assert git_reference.nearest(found, "quite-something-else") == ["3.0.8", "3.0.7"]


OTHER = "f" * 40


@pytest.mark.parametrize(("version", "commit", "hold", "words"), [
    ("3.0.8", COMMITS["3.0.8"], "released", None),
    ("3.0.8", OTHER, "released", "released under that number"),
    ("3.0.8", COMMITS["3.0.7"], "released", "released under that number"),
    ("3.0.8", OTHER, OTHER, None),
    ("3.0.8", OTHER, OTHER.upper(), None),
    ("3.0.8", COMMITS["3.0.8"], OTHER, "has to be"),
    ("dev", OTHER, "released", None),
    ("3.1.0", OTHER, "released", None),
    ("dev", OTHER, COMMITS["3.0.8"], "has to be"),
    ("fffffff", "fffffff", OTHER, None),
    ("fffffff", "fffffff", "released", None),
    ("fffffff", "fffffff", COMMITS["3.0.8"], "has to be"),
    ("3.0.8", OTHER, "fff", "40 hexadecimal digits"),
    ("3.0.8", OTHER, "3.0.8", "40 hexadecimal digits"),
])  # fmt: skip
def test_a_version_is_held_to_its_commit(version, commit, hold, words):
    wrong = git_reference.wrong_commit("https://example.org/x.git", version, commit, hold, "mrtrix3_commit")
    assert wrong is None if words is None else words in wrong[0] and all(wrong)


def test_each_release_has_a_commit_of_its_own():
    assert len(set(COMMITS.values())) == len(COMMITS)
    assert all(len(commit) == 40 and int(commit, 16) for commit in COMMITS.values())


def test_only_where_another_commit_can_be_named_that_is_the_advice():
    for option in ("", "mrtrix3_commit"):
        _message, hint = git_reference.wrong_commit("r", "3.0.8", OTHER, "released", option)
        assert ("mrtrix3_commit" in hint) == bool(option)


def test_an_unreachable_repository_is_one_sentence_with_the_host():
    said = "fatal: unable to access 'https://github.com/x.git/': Could not resolve host: github.com\n"
    message, hint = git_reference.unreachable("https://github.com/x.git", said, "mrtrix3_repo")
    assert "could not be reached" in message and "Could not resolve host" in message and "\n" not in message
    assert "github.com" in hint and "mrtrix3_repo" in hint


def test_a_path_becomes_a_url_that_can_be_cloned_shallow(tmp_path):
    (tmp_path / "repo").mkdir()
    assert git_reference.as_url(str(tmp_path / "repo")) == f"file://{tmp_path}/repo"
    assert git_reference.as_url("https://example.org/x.git") == "https://example.org/x.git"
