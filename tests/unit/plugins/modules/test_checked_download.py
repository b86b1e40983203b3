"""What the module tells of a download."""

from plugins.modules import checked_download

from ..servers import SUM
from .built_tree import run_module


def test_the_module_tells_what_it_changed_and_what_went_wrong_by_a_code(server, tmp_path, capsys):
    given = {"source": f"{server}/good", "dest": str(tmp_path / "got"), "sha256": SUM}
    assert [run_module(checked_download, capsys, **given)[1]["changed"] for _ in range(2)] == [True, False]
    ended, answer = run_module(checked_download, capsys, **{**given, "sha256": "0" * 64})
    assert (ended, answer["code"]) == (1, "wrong-checksum") and answer["hint"]
