"""What the role `mrtrix3` promises, on fresh machines."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from box import SUITES, Box, Machines
from layers import (
    BUILD,
    OURS,
    as_ordinary_user,
    built_in,
    miniature,
    packaged,
    provision,
    refused,
    snapshot,
    with_source,
    with_ssh,
)

# Names of one machine, and one where nobody answers.
FLEET = {
    "hosts": {
        name: {"ansible_host": f"127.0.0.{number}"} for number, name in enumerate(("one", "two", "three", "four"), 1)
    },
    "vars": {"ansible_port": 2398, "ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"},
}

VERSIONS = {"bookworm": "3.0.3", "trixie": "3.0.4"}


@pytest.fixture(params=SUITES)
def installed(request, machines: Machines) -> Iterator[Box]:
    """A machine with the distribution's MRtrix3, put there by the role."""
    with machines.box(packaged(machines, request.param)) as box:
        box.suite = request.param
        yield box


@pytest.fixture
def built(machines: Machines) -> Iterator[Box]:
    with machines.box(built_in(machines)) as box:
        yield box


@pytest.fixture
def sourced(machines: Machines) -> Iterator[Box]:
    """Bookworm with git and a repository of MRtrix3, and nothing installed by a role."""
    with machines.box(with_source(machines)) as box:
        yield box


def test_a_package_gives_working_commands_on_the_path_of_everything(installed: Box) -> None:
    # The plain playbook has installed that of bookworm, `provision run` that of trixie.
    version = VERSIONS[installed.suite]
    assert f"== mrinfo {version} ==" in installed.run("env -i PATH=/usr/bin:/bin bash -lc 'mrinfo -version'").stdout
    said = installed.run("cd /; dwi2response dhollander -help | cat")
    assert version in said.stdout and not said.stderr


def test_a_second_run_changes_nothing(installed: Box) -> None:
    before = snapshot(installed)
    installed.cut_network()
    result = provision(installed, "run mrtrix3 --version any")
    assert result["changed"] == 0
    assert result["hosts"]["localhost"]["mrtrix3"]["version"] == VERSIONS[installed.suite]
    assert snapshot(installed) == before


def test_check_passes_on_a_converged_machine_and_changes_nothing_on_another(machines: Machines) -> None:
    with machines.box(packaged(machines, "bookworm")) as box:
        before = snapshot(box)
        play = "./bootstrap ansible-playbook playbooks/mrtrix3.yml --check"
        assert "changed=0" in box.run(f"{play} -e mrtrix3_version=any").stdout
        said = box.run(play).stdout
        assert "changed=1" in said and "failed=0" in said and "Would install MRtrix3 3.0.8" in said
        assert snapshot(box) == before


def test_the_demo_proves_it_right(machines: Machines) -> None:
    # The same steps on trixie are in the notebooks.
    with machines.box(packaged(machines, "bookworm")) as box:
        assert provision(box, "demo --folder /tmp/demo --size 22,22,12")["passed"] is True
        assert box.run("head -c 4 /tmp/demo/fod.png | tail -c 3").stdout == "PNG"


def test_absent_takes_away_what_was_put_there_and_nothing_else(installed: Box) -> None:
    provision(installed, "run mrtrix3 --state absent")
    assert installed.run("mrinfo -version", check=False).returncode == 127
    left = set(installed.run("dpkg-query -W -f '${Package}\\n'").stdout.split())
    assert not {"mrtrix3", "libfftw3-double3"} & left
    assert {"python3", "sudo", "python3-venv" if installed.suite == "bookworm" else "python3.13-venv"} & left
    assert installed.run("ls /var/lib/provision").stdout == ""


def test_an_mrtrix3_that_is_there_is_taken_and_survives_absent(machines: Machines) -> None:
    with machines.box(packaged(machines, "bookworm")) as box:
        box.run("rm -r /var/lib/provision")
        result = provision(box, "run mrtrix3 --version 3.0.3")
        assert result["hosts"]["localhost"]["mrtrix3"]["origin"] == "present"
        provision(box, "run mrtrix3 --state absent")
        box.run("mrinfo -version")


def test_the_newest_release_is_looked_up_in_the_repository_each_time(built: Box) -> None:
    few = "run mrtrix3 --commands mrinfo,dwi2response --version"
    latest = f"{few} latest --repo /srv/mrtrix3"
    result = provision(built, latest)
    assert (result["changed"], result["hosts"]["localhost"]["mrtrix3"]["version"]) == (0, "3.0.3")
    built.run("git -C /srv/mrtrix3 tag 3.0.10")
    assert provision(built, f"{latest} --check")["changed"] > 0
    assert provision(built, f"{few} any")["changed"] == 0


def test_a_killed_build_is_gone_on_with_on_a_machine_that_has_only_the_store(built: Box) -> None:
    announced, objects, kept, total, done = map(int, built.read("/srv/steps").split())
    # What was interrupted in the first run was gone on with in the second, with what two compilers were at done again.
    assert announced - objects <= 4
    # Two times ten objects had been begun, of which two compilers were at two each time; what was finished right before
    # the end may not have been kept yet.
    assert 14 <= kept < total
    # The last run had nothing but the store: it has compiled what was not kept there, and no more.
    assert done == total - kept
    names = built.run("ls /srv/drive").stdout.split()
    assert len(names) == 2 and all(name.startswith("mrtrix3-3.0.3-debian12-") for name in names)


def test_a_build_from_source_is_whole_linked_and_stripped(built: Box) -> None:
    said = built.run("cd /; mrinfo -version; dwi2response -version; readlink /usr/local/bin/mrinfo; ls /opt/mrtrix3")
    # The Python commands of 3.0.3 do not know their own version, but whose they are.
    assert "== mrinfo 3.0.3 ==" in said.stdout and "executing against MRtrix 3.0.3" in said.stdout
    assert "/opt/mrtrix3/bin/mrinfo" in said.stdout
    assert "debug_info" not in built.run("readelf -S /opt/mrtrix3/bin/mrinfo /opt/mrtrix3/lib/*.so").stdout
    built.cut_network()
    assert provision(built, BUILD.removeprefix("provision "))["changed"] == 0
    assert provision(built, "status")["hosts"]["localhost"]["mrtrix3"]["works"] is True


def test_a_moved_build_runs_from_an_archive_without_root(built: Box) -> None:
    built.run("tar -C /opt -czf /srv/build.tar.gz mrtrix3; chmod a+r /srv/build.tar.gz")
    built.run("rm -r /opt/mrtrix3 /usr/local/bin/* /var/lib/provision")
    sha256 = built.run("sha256sum /srv/build.tar.gz").stdout.split()[0]
    line = f"run mrtrix3 --archive /srv/build.tar.gz --archive-sha256 {sha256} --version 3.0.3"
    report = provision(built, line, **as_ordinary_user(built))["hosts"]["localhost"]["mrtrix3"]
    assert (report["origin"], report["prefix"]) == ("archive", "/home/eve/.local/opt/mrtrix3")
    assert "== mrinfo 3.0.3 ==" in built.run("bash -lc 'mrinfo -version; dwi2response -version'", user="eve").stdout


REFUSED = (
    ({"repo": "/srv/mrtrix3", "version": "3.0.9"}, "no-version", "3.0.9"),
    ({"repo": "/srv/mrtrix3", "version": "3.0.3", "origin": "source"}, "wrong-commit", "3.0.3"),
    ({"repo": "https://mrtrix3.invalid/x.git"}, "unreachable", "https://mrtrix3.invalid/x.git"),
    ({"origin": "package"}, "no-origin", "3.0.3"),
    ({"origin": "archive", "archive": "/srv/none.tgz", "archive_sha256": "0" * 64}, "no-file", "none.tgz"),
    ({"archive": "/srv/none.tgz", "archive_sha256": "12"}, "usage", "'12'"),
    ({"prefix": "/etc/hostname"}, "prefix", "/etc/hostname"),
    ({"prefix": "/srv"}, "prefix", "/srv"),
)


def test_bad_input_is_one_sentence_each_and_changes_nothing(sourced: Box) -> None:
    # What is wrong at a glance is refused before Ansible starts: tests/unit/provision/cli has it.
    hosts = {
        f"host{number}": {f"mrtrix3_{name}": value for name, value in options.items()}
        for number, (options, _, _) in enumerate(REFUSED)
    }
    here = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    sourced.write("/srv/hosts.yml", json.dumps({"all": {"hosts": hosts, "vars": here}}))
    before = snapshot(sourced)
    done = sourced.run("./bootstrap provision run mrtrix3 --on /srv/hosts.yml --json", check=False)
    errors = json.loads(done.stdout)["errors"]
    assert errors.keys() == hosts.keys()
    for error, (_, code, words) in zip((errors[name] for name in hosts), REFUSED, strict=True):
        assert error["code"] == code and words in error["message"] + error["hint"]
        assert "\n" not in error["message"] and error["hint"]
    sourced.run("rm -r ~/.local/state/provision/failed")  # which hosts they were, for `--retry-failed`
    assert snapshot(sourced) == before


def test_without_root_the_missing_packages_are_listed(sourced: Box) -> None:
    as_eve = as_ordinary_user(sourced)
    before = snapshot(sourced)
    line = f"run mrtrix3 mrpeek --mrtrix3-repo /srv/mrtrix3 --mrtrix3-version 3.0.3 {OURS}"
    error = refused(sourced, line, **as_eve)
    assert error["code"] == "needs-root"
    packages = error["hint"].partition("sudo apt-get install ")[2].split()
    # All at once: those of the build, and those of the viewer, which would be built after it.
    assert {"g++", "libeigen3-dev", "libsixel1"} <= set(packages)
    assert snapshot(sourced) == before


def test_a_full_disk_is_one_sentence_and_nothing_half_done_stays(built: Box) -> None:
    built.run("rm -rf /opt/mrtrix3 /var/lib/provision/mrtrix3.json")
    built.limit_disk("/opt", "1m")
    error = refused(built, BUILD.removeprefix("provision "))
    assert error["code"] == "disk-full" and error["hint"]
    assert built.run("ls -A /opt").stdout == ""


def test_a_version_with_cmake_is_built_and_installed(machines: Machines) -> None:
    with machines.box(miniature(machines)) as box:
        report = provision(box, "run mrtrix3 --origin source --repo /srv/mini --version dev")
        assert report["hosts"]["localhost"]["mrtrix3"]["version"] == "9.9.9"
        box.run("rm -r ~/.cache/provision; mrinfo -version; dwi2response -version")


def test_other_machines_are_reached_through_an_inventory(machines: Machines) -> None:
    with machines.box(with_ssh(machines, "trixie")) as box:
        box.run(
            "mkdir -p /run/sshd; rm -f /run/sshd.pid; cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys\n"
            "/usr/sbin/sshd -p 2398 -o ListenAddress=127.0.0.1 -o ListenAddress=127.0.0.2 -o ListenAddress=127.0.0.3\n"
            "until test -s /run/sshd.pid; do sleep 0.05; done\n"
            "known() { echo [127.0.0.$1]:2398 $(cut -d' ' -f1,2 $2); }\n"
            "key=/etc/ssh/ssh_host_ed25519_key.pub\n"
            "(known 1 $key; known 2 ~/.ssh/other.pub) > ~/.ssh/known_hosts\n"
            "(known 1 $key; known 2 $key; known 3 $key) > /srv/known"
        )
        box.write("/srv/fleet.yml", json.dumps({"all": FLEET}))
        line = "run mrtrix3 --version any --on /srv/fleet.yml"
        # Whatever the caller exports, a key that is not known or is another is refused as ssh refuses it.
        loose = {"ANSIBLE_HOST_KEY_CHECKING": "False"}
        found = json.loads(box.run(f"./bootstrap provision {line} --json", check=False, env=loose).stdout)
        assert {host: error["code"] for host, error in found["errors"].items()} == {
            "two": "host-key-changed", "three": "host-key-unknown", "four": "host-unreachable"
        }  # fmt: skip
        assert all(error["hint"] for error in found["errors"].values())
        assert found["hosts"]["one"]["mrtrix3"]["version"] == "3.0.4"
        box.run("cp /srv/known ~/.ssh/known_hosts")
        result = provision(box, f"{line} --limit '!four'")
        assert {name: one["mrtrix3"]["version"] for name, one in result["hosts"].items()} == dict.fromkeys(
            ("one", "two", "three"), "3.0.4"
        )
        assert result["changed"] == 0


def test_two_runs_at_once_do_not_ruin_each_other(machines: Machines) -> None:
    with machines.box(packaged(machines, "trixie")) as box:
        box.run("rm -r /var/lib/provision")
        runs = [box.popen("./bootstrap provision run mrtrix3 --version any") for _ in range(2)]
        for run in runs:
            run.communicate(timeout=300)
        assert 0 in [run.returncode for run in runs]
        assert provision(box, "run mrtrix3 --version any")["changed"] == 0
