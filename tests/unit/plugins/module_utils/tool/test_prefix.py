"""Which folder may be a prefix."""

import pytest

from plugins.module_utils.provision.tool import prefix


def test_a_prefix_with_somebody_elses_files_is_refused(tmp_path):
    assert prefix.prefix_problem(str(tmp_path / "missing")) == ""
    assert prefix.prefix_problem(str(tmp_path)) == ""
    (tmp_path / "thesis.tex").write_text("precious")
    assert "contains" in prefix.prefix_problem(str(tmp_path))
    assert "folder" in prefix.prefix_problem(str(tmp_path / "thesis.tex"))


def test_a_prefix_with_another_tool_or_inside_an_installation_is_refused(tmp_path):
    (tmp_path / prefix.RECEIPT).write_text('{"tool": "ants"}')
    assert prefix.prefix_problem(str(tmp_path), "ants") == ""
    assert "contains" in prefix.prefix_problem(str(tmp_path), "mrtrix3")
    for tool in ("ants", "mrtrix3"):
        assert "inside" in prefix.prefix_problem(str(tmp_path / "new/opt"), tool)


@pytest.mark.parametrize("name", ["n" * 250, "circle", "circle/opt", "file", "file/opt", "d/" * 2100])
def test_a_path_that_no_folder_can_have_is_refused_for_what_it_is(tmp_path, name):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").touch()
    wrong = {"n": "long", "c": "circle", "f": "file", "d": "long"}[name[0]]
    assert wrong in prefix.prefix_problem(str(tmp_path / name))
