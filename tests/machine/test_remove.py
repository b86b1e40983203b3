"""What `provision.remove` promises: the machine is what it was."""

from __future__ import annotations

import json

from box import Box
from layers import provision

# All that could tell the difference. Left out is what grows by itself: logs, lists and caches of the package manager,
# backups of the user database, what Python and ld.so keep to start sooner.
SEEN = """
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\\n'; apt-mark showmanual
cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; crontab -l 2>&1; ls -A / /home /srv
find /etc /usr /var /root /opt -xdev \\( -path /root/project -o -path /var/log -o -path /var/cache \\
    -o -path /var/lib/apt -o -path /var/lib/dpkg -o -name __pycache__ -o -path /root/.cache \\
    -o -path /root/.local/state/provision/logs \\) -prune -o ! -name 'ld.so.cache' ! -name '*-' \\
    -printf '%p %y %m %u %g %l ' \\( -type f -exec md5sum '{}' ';' -o -printf '\\n' \\) | sort
"""
PROCESSES = "ps -eo args= | grep -v -e ' -eo ' -e 'bash -c'"


def seen(box: Box) -> list[str]:
    return box.run(SEEN, cwd="/").stdout.splitlines()


def test_remove_returns_the_machine_to_what_it_was(ready_trixie: Box) -> None:
    ready_trixie.run("echo root:old-password | chpasswd; chage -d 19000 root")
    before, running = seen(ready_trixie), ready_trixie.run(PROCESSES).stdout
    provision(ready_trixie, "run mrtrix3 --version any")
    provision(ready_trixie, "run sshd --port 2397")
    told = provision(ready_trixie, "status")["hosts"]["localhost"]
    assert told["sshd"]["pid"] and told["mrtrix3"]["works"]
    result = provision(ready_trixie, "remove --yes")
    print(json.dumps(result, indent=1))
    after = seen(ready_trixie)
    assert sorted(set(after) - set(before)) == []
    assert sorted(set(before) - set(after)) == []
    assert ready_trixie.run(PROCESSES).stdout == running
