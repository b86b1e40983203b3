"""A server that says nothing, and a git that waits for it."""

import json
import shutil
import socket
import time

import pytest

pytest.importorskip("ansible")

from ansible.module_utils.testing import patch_module_args

from plugins.modules import git_reference


def run_module(capsys, repo, version, **more):
    given = {"repo": repo, "version": version, "option": "mrtrix3_repo", **more}
    with patch_module_args(given), pytest.raises(SystemExit) as ended:
        git_reference.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.parametrize("scheme", ["git", "http", "https"])
def test_a_server_that_says_nothing_is_waited_for_only_so_long(scheme, capsys, monkeypatch):
    monkeypatch.setattr(git_reference, "SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        ended, answer = run_module(capsys, f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/x.git", "3.0.8")
    assert (ended, answer["code"]) == (1, "unreachable") and "2 s" in answer["msg"]
    assert time.monotonic() - start < 10
