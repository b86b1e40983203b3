"""What the role `deps` promises, on fresh machines."""

from __future__ import annotations

import json
import time

import pytest
from box import Box, Machines
from layers import provision, refused, snapshot

# The other Python is the one of Debian 13, with its own loader and libraries: Debian 12's are older.
OTHER_PYTHON = """#!/bin/sh
exec /srv/other/ld.so --argv0 /usr/bin/python3 --library-path /srv/other /srv/other/python3.13 "$@"
"""


def put_other_python(box: Box, machines: Machines) -> None:
    """Put a Python 3.13 that cannot import apt_pkg in the place of /usr/bin/python3, as Google Colab does."""
    trixie = machines.base("trixie") / "tree"
    box.copy_in(trixie / "usr/lib/python3.13", "/usr/lib/python3.13")
    box.copy_in(trixie / "usr/bin/python3.13", "/srv/other/python3.13")
    libraries = trixie / "usr/lib/x86_64-linux-gnu"
    box.copy_in((libraries / "ld-linux-x86-64.so.2").resolve(), "/srv/other/ld.so")
    for name in ("libc.so.6", "libm.so.6", "libz.so.1", "libexpat.so.1", "libcrypto.so.3", "libssl.so.3"):
        if (libraries / name).exists():
            box.copy_in((libraries / name).resolve(), f"/srv/other/{name}")
    # The environment keeps the Python it was made with; it found it as /usr/bin/python3.
    box.run("ln -sf /usr/bin/python3.11 .venv/bin/python3; ln -sf python3 .venv/bin/python; rm /usr/bin/python3")
    box.write("/usr/bin/python3", OTHER_PYTHON, mode="755")


def test_a_python_3_13_in_the_place_of_python3_does_not_break_it(ready_bookworm: Box, machines: Machines) -> None:
    put_other_python(ready_bookworm, machines)
    assert "3.13" in ready_bookworm.run("/usr/bin/python3 --version").stdout
    assert ready_bookworm.run("/usr/bin/python3 -c 'import apt_pkg'", check=False).returncode
    program = ".venv/bin/provision"
    result = provision(ready_bookworm, "run deps --groups run", program)
    assert "libfftw3-double3" in result["hosts"]["localhost"]["deps"]["packages"]
    assert provision(ready_bookworm, "run deps --groups run", program)["changed"] == 0


@pytest.mark.parametrize(
    ("ended", "code"), [("-INT -f bin/provision", 130), ("-KILL -f 'bin/provision|apt-get|dpkg'", -9)]
)
def test_a_run_that_is_cut_off_while_dpkg_works_is_gone_on_with(ready_bookworm: Box, ended: str, code: int) -> None:
    line = "run deps --groups run --extra-packages git"
    process = ready_bookworm.popen(f"exec .venv/bin/provision {line}")
    unpacking = "until grep -q 'status half-installed git:' /var/log/dpkg.log; do sleep 0.02; done"
    ready_bookworm.run(f"{unpacking}; pkill {ended}", check=False, timeout=600)
    process.communicate(timeout=300)
    assert process.returncode == code
    while ready_bookworm.run("pgrep -x 'dpkg|apt-get'", check=False).returncode == 0:
        time.sleep(0.1)
    provision(ready_bookworm, line)
    ready_bookworm.run('test -z "$(dpkg --audit)" && git --version')


def test_an_ordinary_user_goes_through_sudo_and_with_nothing_missing_none_is_needed(ready_trixie: Box) -> None:
    box, line, program = ready_trixie, "run deps --groups run", "/root/project/.venv/bin/provision"
    box.run("chmod 711 /root")  # the environment there serves all
    box.add_user("ada")
    provision(box, line, program, user="ada")
    assert "/home/ada/.local/state/provision/deps.json" in snapshot(box)
    box.add_user("eve", sudo=False)
    assert provision(box, line, program, user="eve")["changed"] == 0
    error = refused(box, f"{line} --extra-packages sl", program, user="eve")
    assert error["code"] == "needs-root" and "sl" in error["hint"].split()[-1]


def test_ansible_playbook_takes_the_password_of_sudo_whether_all_is_roots_or_not(ready_trixie: Box) -> None:
    ready_trixie.add_user("ada", sudo=False)
    ready_trixie.write("/etc/sudoers.d/ada", "ada ALL=(ALL) ALL\n", mode="440")
    ready_trixie.write("/srv/password", "open {{ sesame }}\n")
    ready_trixie.run('echo "ada:$(cat /srv/password)" | chpasswd; chmod 711 /root')
    playbook = "/root/project/.venv/bin/ansible-playbook playbooks/deps.yml --become-password-file /srv/password"
    for more, notes in (("", "/home/ada/.local/state"), ("--become", "/var/lib")):
        play = f'{playbook} {more} -e \'{{"deps_groups": ["run"]}}\''
        ready_trixie.run(play, user="ada")
        assert "libfftw3-double3" in ready_trixie.read(f"{notes}/provision/deps.json")
        if not more:
            ready_trixie.run(f"{play} -e deps_state=absent", user="ada")
            assert ready_trixie.run("dpkg-query -W libfftw3-double3", check=False).returncode


# As one that could not be set up, one whose configuration alone is left, and a source that nobody has signed.
OTHERS = """
mkdir -p /tmp/foo/DEBIAN /srv/apt/dists/x/main/binary-amd64
printf 'Package: foo\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' > /tmp/foo/DEBIAN/control
printf '#!/bin/sh\\nexit 1\\n' > /tmp/foo/DEBIAN/postinst; chmod 755 /tmp/foo/DEBIAN/postinst
dpkg-deb -b /tmp/foo /tmp/foo.deb > /dev/null; dpkg -i /tmp/foo.deb > /dev/null 2>&1
apt-get install -y -qq zsh-common > /dev/null 2>&1; echo '# mine' >> /etc/zsh/newuser.zshrc.recommended
apt-get remove -y -qq zsh-common > /dev/null 2>&1
cd /srv/apt/dists/x; printf 'Suite: x\\nComponents: main\\nDate: Thu, 01 Jan 2026 00:00:00 UTC\\n' > Release
echo 'deb file:/srv/apt x main' > /etc/apt/sources.list.d/x.list; rm -rf /var/lib/apt/lists/*
"""


def test_absent_returns_the_package_list_to_what_it_was_whatever_state_that_was_in(ready_bookworm: Box) -> None:
    ready_bookworm.run(OTHERS, check=False)
    installed = "dpkg-query -W -f '${db:Status-Abbrev}${Package} ${Version}\\n'"
    before = ready_bookworm.run(installed).stdout
    assert "iF foo 1" in before and "rc zsh-common" in before
    provision(ready_bookworm, "run deps --groups run --extra-packages zsh-common")
    told = provision(ready_bookworm, "remove deps --check")["hosts"]["localhost"]["deps"]
    assert {"libtiff6", "zsh-common"} <= set(told["packages"])
    assert ready_bookworm.run(installed).stdout != before
    provision(ready_bookworm, "run deps --state absent")
    assert ready_bookworm.run(installed).stdout == before
    assert "# mine" in ready_bookworm.read("/etc/zsh/newuser.zshrc.recommended")
    assert provision(ready_bookworm, "run deps --state absent")["changed"] == 0


def test_a_disk_that_was_full_within_dpkg_is_gone_on_from_and_nothing_is_forgotten(ready_bookworm: Box) -> None:
    installed = "dpkg-query -W -f '${db:Status-Abbrev}${Package} ${Version}\\n'"
    before = ready_bookworm.run(installed).stdout
    ready_bookworm.limit_disk("/usr/lib/git-core", "2m")
    line = "run deps --groups run --extra-packages git"
    assert refused(ready_bookworm, line)["code"] == "disk-full"
    found = json.loads(ready_bookworm.run("./bootstrap provision doctor --json", check=False).stdout)
    whole = ready_bookworm.run("dpkg --audit").stdout == ""  # as it is where git itself was unpacked last
    assert (found["checks"]["apt"]["verdict"] == "ok") == whole
    ready_bookworm.run("umount /usr/lib/git-core")
    provision(ready_bookworm, line)
    ready_bookworm.run('test -z "$(dpkg --audit)" && git --version')
    provision(ready_bookworm, "run deps --state absent")
    assert ready_bookworm.run(installed).stdout == before


def test_python_packages_go_into_the_environment_named_or_the_caller(ready_bookworm: Box) -> None:
    run = "run deps --groups run --python-packages six"
    result = provision(ready_bookworm, f"{run} --python /srv/venv")
    assert result["hosts"]["localhost"]["deps"]["python"] == "/srv/venv/bin/python"
    ready_bookworm.run("/srv/venv/bin/python -c 'import six'")
    assert provision(ready_bookworm, f"{run} --python /srv/venv")["changed"] == 0
    error = refused(ready_bookworm, "run deps --groups run --python-packages no-such-package --python /usr/bin/python3")
    assert error["code"] == "managed-python"


def test_a_package_that_does_not_exist_is_named(ready_bookworm: Box) -> None:
    error = refused(ready_bookworm, "run deps --groups run --extra-packages no-such-package")
    assert error["code"] == "no-package" and "no-such-package" in error["message"]
