"""What `bootstrap` promises to somebody who has just got a machine."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from box import Box, Machines

WORKS = "./bootstrap ansible-playbook --version"


@pytest.fixture(scope="module")
def plain_root(machines: Machines) -> Path:
    """Bookworm after the first bootstrap, without any extra."""
    return machines.layer(machines.base("bookworm"), "plain", lambda box: box.run("./bootstrap"))


@pytest.fixture
def plain(machines: Machines, plain_root: Path) -> Iterator[Box]:
    with machines.box(plain_root) as box:
        yield box


def test_fresh_machine_gets_what_the_command_needs_and_is_told_so(box: Box) -> None:
    first = box.run("./bootstrap python -c 'import sys, ansible_runner, provision; print(sys.prefix)'")
    assert first.stdout == "/root/project/.venv\n"
    said = first.stderr.splitlines()
    assert len(said) == 2
    assert said[0].startswith("bootstrap: installing python3.1")
    assert said[1] == "bootstrap: preparing .venv, once"
    box.cut_network()
    assert "config file = /root/project/ansible.cfg" in box.run(WORKS, env={"LANG": ""}).stdout


def test_ordinary_user_needs_sudo_once_and_may_have_spaces_in_the_path(trixie: Box) -> None:
    trixie.add_user("ada")
    trixie.run("mv ~ada/project '/home/ada/my project'")
    first = trixie.run(WORKS, user="ada", cwd="/home/ada/my project")
    assert "through sudo" in first.stderr
    assert trixie.run("find . ! -user ada", user="ada", cwd="/home/ada/my project").stdout == ""


def test_user_without_sudo_is_told_what_to_ask_for(trixie: Box) -> None:
    trixie.add_user("eve", sudo=False)
    refused = trixie.run("./bootstrap", user="eve", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].endswith("sudo is not allowed; as root: apt-get install python3.13-venv")


def test_second_time_is_silent_and_installs_nothing(ready_box: Box) -> None:
    ready_box.cut_network()
    # Whatever could install something would now say so and fail.
    ready_box.run(
        "rm -r .venv/lib/python3*/site-packages/pip; cd /usr/local/bin\n"
        "for name in uv apt-get; do printf '#!/bin/sh\\nexit 1' > $name; chmod a+x $name; done"
    )
    once = "./bootstrap true && PROVISION_EXTRAS=demo ./bootstrap"
    assert (ready_box.run(once).stdout, ready_box.run(once).stderr) == ("", "")


def test_works_from_any_folder_through_a_link_and_under_another_pythons_settings(ready_bookworm: Box) -> None:
    ready_bookworm.cut_network()
    ready_bookworm.write("/srv/elsewhere/yaml.py", "raise RuntimeError('not this one')\n")
    astray = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/srv/elsewhere", "VIRTUAL_ENV": "/nowhere", "LC_ALL": "C"}
    ready_bookworm.run("ln -s /root/project/bootstrap /usr/local/bin/start-here")
    shown = ready_bookworm.run("start-here ansible-playbook --version", cwd="/srv/elsewhere", env=astray)
    assert "config file = /root/project/ansible.cfg" in shown.stdout
    ready_bookworm.run(WORKS, env={"LANG": "xx_XX.UTF-8"})


def test_exit_code_and_signals_are_those_of_the_command(ready_bookworm: Box) -> None:
    assert ready_bookworm.run("./bootstrap sh -c 'exit 7'", check=False).returncode == 7
    waiting = ready_bookworm.popen("exec ./bootstrap python -c 'print(1, flush=True); input()'", stdin=-1)
    assert waiting.stdout.readline() == "1\n"
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(5) == -signal.SIGTERM


def test_extras_are_added_to_those_there(ready_bookworm: Box) -> None:
    ready_bookworm.run("PROVISION_EXTRAS=view ./bootstrap")
    assert ready_bookworm.run("tail -n 1 .venv/.provision").stdout == "demo study view\n"


def test_a_command_brings_the_extra_that_it_needs(plain: Box) -> None:
    plain.run("./bootstrap provision sample phantom --folder /tmp/phantom && test -s /tmp/phantom/dwi.nii.gz")
    plain.run("./bootstrap python docs/site.py /tmp/site && test -s /tmp/site/index.html")
    refused = plain.run("./bootstrap provision glyphs nowhere.mif", check=False)
    assert "nowhere.mif" in refused.stderr and "pip install" not in refused.stderr
    assert plain.run("tail -n 1 .venv/.provision").stdout == "demo docs view\n"


def test_killed_while_preparing_is_repaired(plain: Box) -> None:
    preparing = plain.popen("PROVISION_EXTRAS=view ./bootstrap")
    wait_until(lambda: "unfinished" in plain.read(".venv/.provision"))
    preparing.kill()
    preparing.wait()
    plain.run(WORKS)


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ("rm .venv/bin/python && ln -s /usr/bin/python3.10 .venv/bin/python", "/root/project"),
        ("mv /root/project /root/moved", "/root/moved"),
    ],
    ids=["python is gone", "folder was moved"],
)
def test_damaged_environment_is_made_anew(plain: Box, damage: str, place: str) -> None:
    plain.run(damage)
    assert plain.run(WORKS, cwd=place).stderr == "bootstrap: preparing .venv, once\n"


def test_somebodys_own_environment_is_kept(plain: Box) -> None:
    plain.run("rm .venv/.provision && touch .venv/mine")
    plain.run("./bootstrap ls .venv/mine")


def test_two_at_once_wait_for_each_other(plain: Box) -> None:
    plain.run("rm -r .venv")
    both = [plain.popen(f"umask 000; {WORKS}; umask") for _ in range(2)]
    printed, said = zip(*(process.communicate(timeout=300) for process in both), strict=True)
    assert [process.returncode for process in both] == [0, 0]
    first, second = sorted(said)
    assert first == "bootstrap: preparing .venv, once\n"
    assert re.fullmatch("bootstrap: waiting for another bootstrap, process [0-9]+ of root\n", second)
    # Whatever the umask, which is the command's own again, nobody else can change what is run or hold the lock.
    assert all(text.endswith("0000\n") for text in printed)
    assert plain.run("find .venv .venv.lock ! -type l -perm /022; stat -c %a .venv .venv.lock").stdout == "755\n600\n"


def test_the_wait_for_another_ends_and_names_it(plain: Box) -> None:
    plain.run("sed -i 's/^longest_wait=.*/longest_wait=1/' bootstrap; echo unfinished > .venv/.provision")
    plain.popen("exec 9<> .venv.lock; flock 9; echo -n process $$ of root >&9; exec sleep 600")
    wait_until(lambda: plain.run("flock -n .venv.lock true", check=False).returncode == 1)
    refused = plain.run("./bootstrap", check=False)
    assert refused.returncode == 1
    assert re.search("gave up after 1 s; end process [0-9]+ of root", refused.stderr)


def test_a_package_that_is_not_the_one_of_the_lock_is_refused(plain: Box) -> None:
    plain.run("rm -r .venv; sed -Ei 's/sha256:[0-9a-f]{8}/sha256:00000000/' requirements/base.txt")
    refused = plain.run("./bootstrap true", check=False)
    assert refused.returncode == 1 and "hash" in refused.stderr.lower()
    assert refused.stderr.splitlines()[-1].startswith("bootstrap: the packages that this project needs could not be")


def test_unknown_extra_is_named_with_those_there_are(plain: Box) -> None:
    refused = plain.run("PROVISION_EXTRAS=veiw ./bootstrap true", check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("bootstrap: there is no extra veiw; there are: benchmark demo ")


def test_old_python_is_named(bookworm: Box) -> None:
    bookworm.write("/usr/local/bin/python3", "#!/bin/sh\necho 3.9\n", mode="755")
    bookworm.run("rm /usr/bin/python3.11")
    refused = bookworm.run("./bootstrap", check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        "bootstrap: Python 3.11 or newer is needed, and python3 is 3.9. "
        "Install one, or name it: PROVISION_PYTHON=/path/to/python ./bootstrap\n"
    )


def test_failed_download_shows_the_reason_and_one_sentence(plain: Box) -> None:
    plain.cut_network()
    plain.run("sed -i 's/^rich==/&9999/' requirements/base.txt")
    refused = plain.run("./bootstrap true", env={"PIP_RETRIES": "0"}, check=False)
    assert refused.returncode == 1
    assert "ERROR: " in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("bootstrap: the packages that this project needs could not be")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
