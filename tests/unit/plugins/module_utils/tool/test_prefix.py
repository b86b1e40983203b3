"""Which folder may be a prefix."""

from plugins.module_utils.provision.tool import prefix


def test_a_prefix_with_somebody_elses_files_is_refused(tmp_path):
    assert prefix.prefix_problem(str(tmp_path / "missing")) == ""
    assert prefix.prefix_problem(str(tmp_path)) == ""
    (tmp_path / "thesis.tex").write_text("precious")
    assert "contains" in prefix.prefix_problem(str(tmp_path))
    assert "folder" in prefix.prefix_problem(str(tmp_path / "thesis.tex"))
