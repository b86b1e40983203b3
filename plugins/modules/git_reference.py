#!/usr/bin/python
"""Resolve a version in a remote git repository."""

from __future__ import annotations

DOCUMENTATION = """
module: git_reference
short_description: Resolve a version in a remote git repository
description:
  - Finds out whether a version is a tag, a branch or a commit of a repository, without cloning it.
  - Fails with one sentence if the repository cannot be reached, does not answer within a minute, has no such version or
    a different commit for it, or if git would mistake a name for an option.
author: The provision founders (!UNKNOWN)
options:
  repo:
    type: path
    required: true
    description: The URL or path of the repository.
  folder:
    type: path
    default: ""
    description: The folder that a relative path may start from, before the working folder.
  version:
    type: str
    required: true
    description: A tag, a branch, at least seven hexadecimal digits of a commit, or C(latest) for the newest release.
  option:
    type: str
    required: true
    description: The role's option for the repository, named in errors.
  hold:
    type: str
    default: ""
    description:
      - The commit that the version must be, 40 hexadecimal digits.
      - C(released) is the commit that MRtrix3 released as that version, for 3.0.0 to 3.0.8. Other versions are not
        checked.
  hold_option:
    type: str
    default: ""
    description: The role's option for another commit, if there is one, named in errors.
  clone:
    type: path
    default: ""
    description:
      - The role's own clone, if there is one. Locks that a killed git left in it are deleted, and so is an incomplete
        clone, with its whole folder.
"""

EXAMPLES = """
- name: Find the commit of a release
  provision_founders.provision.git_reference:
    repo: https://github.com/MRtrix3/mrtrix3.git
    version: 3.0.8
    option: mrtrix3_repo
    hold: released
  register: found
"""

RETURN = """
version:
  description: The version; for C(latest), its tag.
  type: str
  returned: success
repo:
  description: The repository in the form for git; a path becomes a URL, which git needs for a shallow clone.
  type: str
  returned: success
kind:
  description: C(tag), C(branch) or C(commit).
  type: str
  returned: success
commit:
  description: The hash of the commit.
  type: str
  returned: success
environment:
  description: Variables with which git does not wait for a silent server and asks no questions.
  type: dict
  returned: success
"""

import difflib
import os
import re
import shutil
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.download import shown

SECONDS = 60
_TIMED_OUT = (124, 137)  # timeout(1)
from ..module_utils.provision.releases import COMMITS
from ..module_utils.provision.versions import is_release, numbers

_COMMIT = re.compile(r"[0-9a-f]{7,40}")


def as_url(repo, folder=""):
    """Return a repository in the form that git needs for a shallow clone: paths as ``file://`` URLs."""
    path = next(filter(os.path.isdir, (os.path.join(folder, repo), repo)), "")
    return "file://" + os.path.abspath(path) if path else repo


def parse(listing):
    """Return {"tag": {name: commit}, "branch": {name: commit}} from the output of ``git ls-remote``."""
    found = {"tag": {}, "branch": {}}
    for line in listing.splitlines():
        commit, _tab, reference = line.partition("\t")
        for kind, start in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
            if reference.startswith(start):
                # An annotated tag is listed twice; the second, ending in ^{}, is the commit.
                found[kind][reference[len(start) :].replace("^{}", "")] = commit
    return found


def choose(found, version):
    """Return (kind, commit) of a version, or None."""
    for kind in ("tag", "branch"):
        if version in found[kind]:
            return kind, found[kind][version]
    return ("commit", version) if _COMMIT.fullmatch(version) else None


def newest(found):
    """Return the tag of the newest release, ``latest`` if there is none."""
    return max(filter(is_release, found["tag"]), key=numbers, default="latest")


def nearest(found, version):
    """Return the names most similar to an unknown version, or the newest tags."""
    names = [*found["tag"], *found["branch"]]
    numbered = sorted((name for name in found["tag"] if re.fullmatch(r"[\d.]+", name)), key=numbers, reverse=True)
    near = difflib.get_close_matches(version, numbered) or difflib.get_close_matches(version, names)
    return near or numbered[:3] or names[:3]


def refusal(repo, version, option):
    """Return (sentence, hint) for a name that git would treat as an option or program, else None."""
    for value, what, right in (
        (repo, "repository", f"Set {option} to a URL or a path."),
        (version, "version", "Give a tag, a branch or a commit."),
    ):
        # A transport such as ext:: can run any program.
        if re.match(r"-|\w+::", value) or not value.isprintable() or not value:
            return f"{value!r} is not a valid git {what}.", right
    return None


def wrong_commit(repo, version, commit, hold, option=""):
    """Return (sentence, hint, code) if a version is not the commit that it must be, else None."""
    whole = hold.lower() if hold != "released" else COMMITS.get(version, commit)
    if not re.fullmatch(r"[0-9a-f]{40}", whole) and whole != commit:
        said = f"{option} must be the 40 hexadecimal digits of a commit, not {hold!r}."
        return said, "git rev-parse HEAD prints them.", "bad-value"
    if not whole or whole.startswith(commit):
        return None
    if hold == "released":
        said = f"Version {version} in {repo} is not the commit that MRtrix3 released under that number: {commit}."
        other = f" For a repository with changes of your own, set {option}=COMMIT." if option else ""
        return said, f"Use MRtrix3's own repository or a clone of it.{other}", "wrong-commit"
    return (
        f"Version {version} in {repo} is not the commit that it has to be: {commit}, not {whole}.",
        f"Check {option} and the version.",
        "wrong-commit",
    )


def unreachable(repo, said, option):
    """Return (sentence, hint) for a repository that git could not list."""
    repo = shown(repo)
    host = urlsplit(repo).hostname or repo
    lines = [re.sub(r"//[^/@\s]*@", "//", line) for line in said.strip().splitlines() if line]
    reason = re.sub(r"^(fatal|ssh|error): ", "", lines[0] if lines else "no answer")
    return (
        f"The git repository {repo} could not be reached ({reason}).",
        f"Check {host} and the network, or use a local clone: {option}=/path/to/clone.",
    )


def limits(repo):
    """Return the environment in which git asks nothing, does not wait for a silent server, and keeps encryption."""
    ssh = os.environ.get("GIT_SSH_COMMAND") or "ssh"  # with the key of a private repository, say
    return {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=20",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": "20",
        # This also limits redirects.
        "GIT_ALLOW_PROTOCOL": "https" if repo.lower().startswith("https:") else "file:git:http:https:ssh",
    }  # fmt: skip


def listed(module, repo):
    """Return (exit code, output, errors) of git when listing all tags and branches."""
    code, out, error = module.run_command(
        ["timeout", "--kill-after=5", str(SECONDS), "git", "ls-remote", "--tags", "--heads", "--", repo],
        environ_update=limits(repo),
    )
    return code, out, f"no answer within {SECONDS} s" if code in _TIMED_OUT else error


def mend(module, clone):
    """Delete what a killed git left behind: its locks, or an incomplete clone."""
    if not os.path.isdir(clone):
        return
    own = os.path.join(clone, ".git")
    # The module ansible.builtin.git accepts any folder with this file as a clone, git one that has a commit.
    is_whole = os.path.isfile(os.path.join(own, "config"))
    if not is_whole or module.run_command(["git", "--git-dir", own, "rev-parse", "--verify", "--quiet", "HEAD"])[0]:
        shutil.rmtree(clone)
    for folder, _folders, names in os.walk(os.path.join(clone, ".git")):
        for name in names:
            if name.endswith(".lock"):
                os.unlink(os.path.join(folder, name))


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            # The type path expands ~; URLs stay as they are.
            "repo": {"type": "path", "required": True},
            "folder": {"type": "path", "default": ""},
            "version": {"type": "str", "required": True},
            "option": {"type": "str", "required": True},
            "hold": {"type": "str", "default": ""},
            "hold_option": {"type": "str", "default": ""},
            "clone": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    repo, version = as_url(module.params["repo"], module.params["folder"]), module.params["version"]
    refused = refusal(repo, version, module.params["option"])
    if refused:
        module.fail_json(msg=refused[0], hint=refused[1], code="usage")
    code, out, error = listed(module, repo)
    if code:
        message, hint = unreachable(module.params["repo"], error, module.params["option"])
        module.fail_json(msg=message, hint=hint, code="unreachable")
    found = parse(out)
    version = newest(found) if version == "latest" else version
    choice = choose(found, version)
    if not choice:
        near = nearest(found, version)
        verb = "is" if len(near) == 1 else "are"
        module.fail_json(
            msg=f"{shown(module.params['repo'])} has no version {version!r}.",
            code="no-version",
            hint=f"The nearest {verb} {', '.join(near)}." if near else "It has no tags and no branches.",
        )
    if module.params["hold"]:
        names = ("hold", "hold_option")
        wrong = wrong_commit(module.params["repo"], version, choice[1], *(module.params[name] for name in names))
        if wrong:
            module.fail_json(msg=wrong[0], hint=wrong[1], code=wrong[2])
    if module.params["clone"] and not module.check_mode:
        mend(module, module.params["clone"])
    module.exit_json(
        changed=False, version=version, repo=repo, kind=choice[0], commit=choice[1], environment=limits(repo)
    )


if __name__ == "__main__":
    main()
