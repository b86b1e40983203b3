"""What other programs see of this process's environment."""

from plugins.module_utils.provision import commands


def test_what_the_caller_exports_does_not_change_what_a_program_looks_at_but_a_proxy_stays(monkeypatch):
    for name in ("DPKG_ROOT", "DPKG_ADMINDIR", "APT_CONFIG", "PIP_PYTHON", "GIT_DIR", "LANGUAGE", "https_proxy"):
        monkeypatch.setenv(name, "marker")
    said = commands.run(["env"])[1].splitlines()
    assert [line for line in said if line.endswith("=marker")] == ["https_proxy=marker"]
