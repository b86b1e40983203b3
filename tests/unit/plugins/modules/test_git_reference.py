"""What a version means in a repository that is not here."""

import shutil
import subprocess

import pytest

from plugins.module_utils.provision.releases import COMMITS
from plugins.modules import git_reference

from .built_tree import run_module as run_any

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


def test_the_newest_release_is_that_of_the_highest_numbers_and_no_other_name():
    tags = dict.fromkeys(["3.0.9", "3.0.10", "3.0.10-rc1", "nightly-dev", "v4.0.0", "2.9.9"], "a" * 40)
    assert git_reference.newest({"tag": tags, "branch": {"latest": "b" * 40}}) == "3.0.10"
    assert git_reference.newest({"tag": {}, "branch": {}}) == "latest"


def test_a_misspelt_version_gets_the_nearest_ones():
    found = git_reference.parse(LISTING)
    assert git_reference.nearest(found, "3.0.9")[0] in ("3.0.8", "3.0.7")
    assert git_reference.nearest(found, "devel") == ["dev"]
    assert git_reference.nearest(found, "quite-something-else") == ["3.0.8", "3.0.7"]


OTHER = "f" * 40


@pytest.mark.parametrize(("version", "commit", "hold", "code", "value"), [
    ("3.0.8", COMMITS["3.0.8"], "released", None, ""),
    ("3.0.8", OTHER, "released", "wrong-commit", "mrtrix3_commit=COMMIT"),
    ("3.0.8", COMMITS["3.0.7"], "released", "wrong-commit", "mrtrix3_commit=COMMIT"),
    ("3.0.8", OTHER, OTHER, None, ""),
    ("3.0.8", OTHER, OTHER.upper(), None, ""),
    ("3.0.8", COMMITS["3.0.8"], OTHER, "wrong-commit", OTHER),
    ("dev", OTHER, "released", None, ""),
    ("3.1.0", OTHER, "released", None, ""),
    ("dev", OTHER, COMMITS["3.0.8"], "wrong-commit", COMMITS["3.0.8"]),
    ("fffffff", "fffffff", OTHER, None, ""),
    ("fffffff", "fffffff", "released", None, ""),
    ("fffffff", "fffffff", COMMITS["3.0.8"], "wrong-commit", COMMITS["3.0.8"]),
    ("3.0.8", OTHER, "fff", "bad-value", "'fff'"),
    ("3.0.8", OTHER, "3.0.8", "bad-value", "'3.0.8'"),
])  # fmt: skip
def test_a_version_is_held_to_its_commit(version, commit, hold, code, value):
    wrong = git_reference.wrong_commit("https://example.org/x.git", version, commit, hold, "mrtrix3_commit")
    message, hint, kind = wrong or ("", "", None)
    assert kind == code and value in f"{message} {hint}" and bool(message) == bool(hint) == bool(code)


def test_only_where_another_commit_can_be_named_that_is_the_advice():
    for option in ("", "mrtrix3_commit"):
        _message, hint, _code = git_reference.wrong_commit("r", "3.0.8", OTHER, "released", option)
        assert ("mrtrix3_commit" in hint) == bool(option)


def test_an_unreachable_repository_is_one_sentence_with_the_host():
    said = "fatal: unable to access 'https://github.com/x.git/': Could not resolve host: github.com\n"
    message, hint = git_reference.unreachable("https://github.com/x.git", said, "mrtrix3_repo")
    assert "https://github.com/x.git" in message and "Could not resolve host" in message and "\n" not in message
    assert "github.com" in hint and "mrtrix3_repo" in hint


def test_a_path_becomes_a_url_that_can_be_cloned_shallow(tmp_path):
    (tmp_path / "repo").mkdir()
    assert git_reference.as_url(str(tmp_path / "repo")) == f"file://{tmp_path}/repo"
    assert git_reference.as_url("https://example.org/x.git") == "https://example.org/x.git"
    assert git_reference.as_url("repo", str(tmp_path)) == f"file://{tmp_path}/repo"
    assert git_reference.as_url("none", str(tmp_path)) == "none"


@pytest.mark.parametrize(
    ("repo", "version"),
    [
        ("--upload-pack=touch /tmp/x", "3.0.8"), ("-x", "3.0.8"), ("ext::sh -c id", "3.0.8"), ("a\nb", "3.0.8"),
        ("", "3.0.8"), ("https://example.org/x.git", "--upload-pack=touch x"), ("https://example.org/x.git", "-b"),
        ("https://example.org/x.git", "a\tb"), ("https://example.org/x.git", ""),
    ],
)  # fmt: skip
def test_what_git_would_take_for_an_option_or_a_program_is_refused_before_it_is_asked(
    repo, version, capsys, monkeypatch
):
    monkeypatch.setattr(git_reference, "listed", lambda *_: pytest.fail("git was asked"))
    ended, answer = run_module(capsys, repo, version)
    assert (ended, answer["code"]) == (1, "usage") and answer["hint"]


def test_a_null_character_is_refused():
    # From Python 3.13 on a module does not even start with one, since the system's log takes none.
    assert git_reference.refusal("https://example.org/x.git", "a\0b", "mrtrix3_repo")


@pytest.mark.parametrize(
    "repo", ["https://example.org/x.git", "git@example.org:me/x.git", "/srv/a repo", "ssh://me@[::1]:22/x", "file:///x"]
)
@pytest.mark.parametrize("version", ["3.0.8", "feature/x-y", "97b21e56af52"])
def test_what_names_a_repository_and_a_version_is_taken(repo, version):
    assert git_reference.refusal(repo, version, "mrtrix3_repo") is None


def run_module(capsys, repo, version, **more):
    given = {"repo": repo, "version": version, "option": "mrtrix3_repo", **more}
    return run_any(git_reference, capsys, **given)


@pytest.mark.needs("git")
def test_a_clone_on_this_machine_is_asked(tmp_path, capsys):
    repo = tmp_path / "a repo"
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", repo], check=True)
    subprocess.run(["git", "-C", repo, *who, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run(["git", "-C", repo, "tag", "3.0.8"], check=True)
    ended, answer = run_module(capsys, str(repo), "3.0.8")
    assert (ended, answer["kind"], answer["repo"]) == (0, "tag", f"file://{repo}")


def test_a_server_of_https_leads_nowhere_without_encryption():
    assert git_reference.limits("https://example.org/x.git")["GIT_ALLOW_PROTOCOL"] == "https"
    assert "ext" not in git_reference.limits("git://example.org/x.git")["GIT_ALLOW_PROTOCOL"]


def test_git_uses_the_key_that_the_user_gave_it(monkeypatch):
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i ~/.ssh/lab")
    given = git_reference.limits("git@example.org:lab/x.git")["GIT_SSH_COMMAND"]
    assert given.startswith("ssh -i ~/.ssh/lab -o BatchMode=yes")


def test_a_password_in_a_url_is_not_told():
    url = "https://me:sesame@example.org/x.git"
    message, hint = git_reference.unreachable(url, f"fatal: unable to access '{url}/': no\n", "mrtrix3_repo")
    assert "sesame" not in message + hint and "example.org" in message


@pytest.fixture
def clone(monkeypatch, tmp_path):
    """A clone with one commit."""
    monkeypatch.setattr(git_reference, "listed", lambda *_: (0, LISTING, ""))
    git = ["git", "-C", tmp_path / "clone", "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run(["git", "init", "-q", tmp_path / "clone"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    return tmp_path / "clone"


@pytest.mark.needs("git")
@pytest.mark.parametrize("check", [False, True])
def test_locks_that_a_killed_git_has_left_in_the_roles_own_clone_go(capsys, clone, check):
    for name in ("shallow.lock", "index.lock", "refs/x.lock"):
        (clone / ".git" / name).touch()
    assert run_module(capsys, "/srv/x", "3.0.8", clone=str(clone), _ansible_check_mode=check)[0] == 0
    left = {path.name for path in (clone / ".git").rglob("*.lock")}
    assert left == ({"shallow.lock", "index.lock", "x.lock"} if check else set())
    assert (clone / ".git/HEAD").exists()


@pytest.mark.needs("git")
@pytest.mark.parametrize("missing", ["config", "HEAD", "objects", "refs", "."])
def test_half_a_clone_that_a_killed_git_has_left_goes(capsys, clone, missing):
    (clone / "README").touch()
    shutil.rmtree(clone / ".git") if missing == "." else None
    shutil.rmtree(clone / ".git" / missing, ignore_errors=True)
    (clone / ".git" / missing).unlink(missing_ok=True)
    # A repository around it is no reason to keep it.
    subprocess.run(["git", "init", "-q", clone.parent], check=True)
    assert run_module(capsys, "/srv/x", "3.0.8", clone=str(clone))[0] == 0
    assert not clone.exists()
