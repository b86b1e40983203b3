"""What `provision.remove` asks for and tells."""

from __future__ import annotations

import json

import pytest

import provision
from provision.actions.remove import Kept, Removed
from provision.engine import catalog, logbook, runner
from provision.machine import look, places
from provision.machine.look import deps
from provision.machine.tool.prefix import RECEIPT


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """An empty machine: no notes of roles, no store, no logs."""
    monkeypatch.setattr(places, "state_folder", lambda: str(tmp_path))
    monkeypatch.setattr(places, "default_store", lambda: str(tmp_path / "store"))
    monkeypatch.setattr(places, "cache_folder", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(logbook, "place", lambda: tmp_path / "logs")
    return tmp_path


@pytest.fixture
def ran(monkeypatch, machine):
    """Put a run in Ansible's place that removes all it is asked to; return what it was asked for."""
    asked = []

    def run(roles, variables, **rest):
        asked.append({"roles": list(roles), "variables": variables, **rest})
        return runner.Outcome(len(roles), 0.5, {"localhost": {role: {"state": "absent"} for role in roles}}, None)

    monkeypatch.setattr(runner, "run", run)
    return asked


def test_all_roles_are_removed_in_one_run_against_the_order_in_which_they_came(ran):
    provision.remove()
    (asked,) = ran
    assert asked["roles"] == list(reversed(catalog.roles())) and asked["roles"][-1] == "deps"
    assert asked["playbook"] == "remove.yml" and not asked["check"] and asked["inventory"] is None


def test_roles_that_are_named_are_removed_alone_and_in_the_same_order(ran):
    provision.remove("mrtrix3", "sshd", check=True)
    assert ran[0]["roles"] == ["sshd", "mrtrix3"] and ran[0]["check"]


def test_a_role_that_does_not_exist_is_refused_before_anything_starts(ran):
    with pytest.raises(provision.OptionError) as refused:
        provision.remove("mrtrix")
    assert refused.value.code == "no-role" and "'mrtrix'" in refused.value.message and ran == []


REPORTS = {
    "sshd": {"state": "absent", "folder": "/var/lib/provision/sshd", "files": ["/etc/profile.d/provision-sshd.sh"]},
    "mrtrix3": {"state": "absent", "prefix": "/opt/mrtrix3", "packages": ["g++", "git"]},
    "mrpeek": {"state": "absent"},
    "deps": {"state": "absent", "packages": ["zlib1g"]},
}


@pytest.mark.parametrize("check", [False, True])
def test_what_was_there_is_told_and_what_was_not_is_not(monkeypatch, machine, check):
    monkeypatch.setattr(runner, "run", lambda *_, **__: runner.Outcome(3, 0.5, {"localhost": REPORTS}, None))
    result = provision.remove(check=check)
    assert result.gone == ("sshd", "mrtrix3", "deps")
    assert repr(result).splitlines()[:-1] == [
        "sshd     /var/lib/provision/sshd, /etc/profile.d/provision-sshd.sh",
        "mrtrix3  /opt/mrtrix3, 2 packages: g++ git",
        "deps     1 package: zlib1g",
    ]
    assert result.to_dict()["hosts"]["localhost"]["mrtrix3"]["packages"] == ["g++", "git"]


def test_on_other_machines_each_is_told_with_what_was_there(monkeypatch, machine):
    (machine / "fleet.yml").write_text("all: {hosts: {a: {}, b: {}}}")
    hosts = {"a": {"sshd": {"state": "absent"}, "deps": REPORTS["deps"]}, "b": {"sshd": {"state": "absent"}}}
    monkeypatch.setattr(runner, "run", lambda *_, **__: runner.Outcome(1, 0.5, hosts, None))
    result = provision.remove(on=machine / "fleet.yml")
    assert result.gone == ("deps",)
    assert repr(result).splitlines()[:-1] == ["a: deps  1 package: zlib1g"]


def test_what_is_kept_is_named_with_what_removes_it(ran, machine):
    assert provision.remove().kept == ()
    for name in ("store/mrtrix3-3.0.8.tar.zst", "cache/source/mrtrix3/a", "logs/b.log"):
        (machine / name).parent.mkdir(parents=True)
        (machine / name).write_text("content")
    kept = provision.remove().kept
    assert [one.command for one in kept] == [
        "provision store prune --keep 0",
        f"rm -r {machine}/cache/source",
        f"rm -r {machine}/logs",
    ]
    assert str(kept[0]) == f"kept: 1 build in {machine}/store, 7 B - provision store prune --keep 0"


def test_other_machines_have_nothing_to_do_with_what_is_kept_here(ran, machine):
    (machine / "logs").mkdir()
    (machine / "logs/b.log").touch()
    (machine / "fleet.yml").write_text("all: {}")
    result = provision.remove("sshd", on=machine / "fleet.yml")
    assert result.kept == () and ran[0]["inventory"].path == machine / "fleet.yml"


def test_the_result_is_told_in_lines_and_as_json():
    kept = Kept("logs of runs", "/logs", 5, "rm -r /logs")
    result = Removed(3, 4.1, {"localhost": {"sshd": {"state": "absent"}}}, gone=("sshd",), kept=(kept,))
    assert repr(result) == "removed sshd in 4.1 s - 3 changes\nkept: logs of runs in /logs, 5 B - rm -r /logs"
    assert result.to_dict()["kept"] == [{"what": "logs of runs", "path": "/logs", "size": 5, "command": "rm -r /logs"}]
    assert json.loads(json.dumps(result.to_dict()))["gone"] == ["sshd"]
    assert "removed sshd" in result._repr_html_() and "kept: logs of runs" in result._repr_html_()
    looked = Removed(1, 1.0, {}, check=True, gone=("sshd",))
    assert repr(looked) == "would remove sshd in 1.0 s - check only, nothing was changed"
    assert repr(Removed(0, 1.0, {})) == "nothing to remove (1.0 s)"


def looked(machine, role, **wanted):
    here = {"root": False, "home": str(machine), "state": str(machine)}
    wanted = {"name": role, "state": "absent", "prefix": str(machine / "opt"), "link_dir": "none", **wanted}
    return look.look_of(role)(wanted, here)


@pytest.mark.parametrize("role", ["mrtrix3", "mrpeek"])
def test_packages_of_an_installation_that_was_cut_off_are_not_forgotten(machine, role):
    assert looked(machine, role)["converged"]
    (machine / "deps.json").write_text(json.dumps({"installed": {role: ["g++"]}}))
    assert not looked(machine, role)["converged"]


@pytest.mark.parametrize("role", ["mrtrix3", "mrpeek", "sshd", "ngrok", "reverse_ssh"])
def test_a_role_reports_what_of_it_goes_and_nothing_where_there_is_nothing(machine, monkeypatch, role):
    monkeypatch.setattr(deps, "state_folder", lambda: str(machine))
    monkeypatch.setattr(deps, "removable", lambda names, **_: sorted(names))
    report = looked(machine, role, user="auto")["report"]
    assert report["state"] == "absent" and "folder" not in report and "prefix" not in report
    (machine / "deps.json").write_text(json.dumps({"installed": {role: ["g++"]}}))
    (machine / f"{role}.json").write_text(json.dumps({"report": {"version": "3"}}))
    for folder in ("opt", role):
        (machine / folder).mkdir()
    (machine / "opt" / RECEIPT).touch()
    report = looked(machine, role, user="auto")["report"]
    place = {"prefix": str(machine / "opt")} if role.startswith("mr") else {"folder": str(machine / role)}
    assert place.items() <= report.items()
    assert (report["packages"], report["notes_in"]) == (["g++"], str(machine / f"{role}.json"))
