"""What `provision.remove` promises: the machine is what it was."""

from __future__ import annotations

import re

from box import Box, Machines
from layers import SERVER, packaged, provision

# All that could tell the difference. Left out is what grows by itself: logs, lists and caches, backups of the user
# database; and the logs of runs, which are kept on purpose and named.
SEEN = """
dpkg-query -W -f 'package ${Package} ${Version} ${db:Status-Abbrev}\\n'
for name in passwd group shadow gshadow; do sed "s/^/$name /" /etc/$name; done
ls -A / /home /srv
find /etc /usr /var /root /opt -xdev \\( -path /root/project -o -path /var/log -o -path /var/cache \\
    -o -path /var/lib/apt -o -path /var/lib/dpkg -o -name __pycache__ -o -path /root/.cache \\
    -o -path /root/.local/state/provision/logs \\) -prune -o ! -name '*-' \\
    ! -regex '/etc/\\(ld.so.cache\\|passwd\\|group\\|shadow\\|gshadow\\)' \\
    -printf '%p %y %m %u %g %l ' \\( -type f -exec md5sum '{}' ';' -o -printf '\\n' \\)
"""
# What Debian's packages leave when they are purged: users and groups that files may belong to, and what systemd, which
# MRtrix3's package comes with, sets up for the machine; and a library that had to be as new as a sister of it.
DEBIANS = (
    r"(passwd|group|shadow|gshadow) (systemd-\w+|_ssh):",
    r"/etc/(machine-id|mtab|default/locale|vconsole.conf) ",
    r"/var/lib/private d ",
    r"/root/\.ssh d 700 ",
    r"package libpcre2-8-0 |/usr/lib/x86_64-linux-gnu/libpcre2-8|/usr/share/doc/libpcre2-8-0/",
)
LOGS = r"/root/\.local( |/state |/state/provision )"
# The box has it set by its maker, with a hash that stays the same.
PASSWORD = "usermod -p '$6$salt$hash' root; chage -d 19000 root"


def seen(box: Box) -> set[str]:
    box.run(PASSWORD)
    return set(box.run(SEEN, cwd="/").stdout.splitlines())


def processes(box: Box) -> list[str]:
    """Return the command lines of all processes but those that ask for them."""
    lines = box.run("exec ps -eo args=").stdout.splitlines()
    return [line for line in lines if " -eo " not in line and "bash -c" not in line]


def test_remove_returns_the_machine_to_what_it_was(ready_trixie: Box, machines: Machines) -> None:
    before, running = seen(ready_trixie), processes(ready_trixie)
    with machines.box(packaged(machines, "trixie")) as box:
        box.run(PASSWORD)
        shadow = box.run("grep ^root: /etc/shadow").stdout
        provision(box, "run sshd --port 2397")
        told = provision(box, "status")["hosts"]["localhost"]
        assert told["sshd"]["pid"] and told["mrtrix3"]["works"]
        result = provision(box, "remove --yes")
        assert result["gone"] == ["sshd", "mrtrix3"] and [kept["what"] for kept in result["kept"]] == ["logs of runs"]
        assert box.run("grep ^root: /etc/shadow").stdout == shadow
        changed = sorted(seen(box) ^ before)
        assert [line for line in changed if not re.match("|".join((*DEBIANS, LOGS)), line)] == []
        assert processes(box) == running
        assert provision(box, "remove --yes")["changed"] == 0


def test_a_machine_is_looked_at_and_emptied_over_ssh(machines: Machines) -> None:
    with machines.box(packaged(machines, "trixie")) as box:
        box.run(SERVER.replace("openssh-server", "openssh-client openssh-server"))
        box.run("mkdir -m 0700 -p ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519")
        keys = "--authorized-keys ~/.ssh/id_ed25519.pub"
        sshd = provision(box, f"run sshd --port 2397 {keys}")["hosts"]["localhost"]["sshd"]
        box.write("/root/.ssh/known_hosts", sshd["known_hosts"] + "\n")
        box.write("/srv/hosts.yml", "all: {hosts: {node1: {ansible_host: 127.0.0.1, ansible_port: 2397}}}\n")
        result = provision(box, "run mrtrix3 --version any --on /srv/hosts.yml")
        assert (result["changed"], result["hosts"]["node1"]["mrtrix3"]["origin"]) == (0, "package")
        assert provision(box, "remove mrtrix3 --yes --on /srv/hosts.yml")["changed"] > 0
        box.run("! command -v mrinfo")
