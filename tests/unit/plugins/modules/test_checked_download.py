"""What the module tells of a download."""

import json

import pytest

from ..servers import (
    SUM,
    _without_proxies,  # noqa: F401
    server,  # noqa: F401
)


def run_module(capsys, **given):
    testing = pytest.importorskip("ansible.module_utils.testing")
    from plugins.modules import checked_download

    with testing.patch_module_args(given), pytest.raises(SystemExit) as ended:
        checked_download.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_the_module_tells_what_it_changed_and_what_went_wrong_by_a_code(server, tmp_path, capsys):
    given = {"source": f"{server}/good", "dest": str(tmp_path / "got"), "sha256": SUM}
    assert [run_module(capsys, **given)[1]["changed"] for _ in range(2)] == [True, False]
    ended, answer = run_module(capsys, **{**given, "sha256": "0" * 64})
    assert (ended, answer["code"]) == (1, "wrong-checksum") and answer["hint"]
