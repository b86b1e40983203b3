"""What a version means in a repository that is not here."""

import pytest

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


def test_an_unreachable_repository_is_one_sentence_with_the_host():
    said = "fatal: unable to access 'https://github.com/x.git/': Could not resolve host: github.com\n"
    message, hint = git_reference.unreachable("https://github.com/x.git", said, "mrtrix3_repo")
    assert "could not be reached" in message and "Could not resolve host" in message and "\n" not in message
    assert "github.com" in hint and "mrtrix3_repo" in hint


def test_a_path_becomes_a_url_that_can_be_cloned_shallow(tmp_path):
    (tmp_path / "repo").mkdir()
    assert git_reference.as_url(str(tmp_path / "repo")) == f"file://{tmp_path}/repo"
    assert git_reference.as_url("https://example.org/x.git") == "https://example.org/x.git"
