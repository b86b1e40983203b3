"""A terminal with somebody at it, who types yes or a password and sees pictures: runs a file of bash, ends as that."""

import sys

import pexpect

# What is waited for, and what is typed or, by the terminal itself, answered: it has sixel graphics (4).
ANSWERS = {
    "Type yes to confirm: ": "yes\n",
    "Type yes to open it anyway: ": "yes\n",
    "Password for sudo": "secret\n",
    "BECOME password: ": "secret\n",
    "\x1b[c": "\x1b[?62;4c",
}

shell = pexpect.spawn("bash", ["-eo", "pipefail", sys.argv[1]], encoding="utf-8", dimensions=(40, 200), timeout=None)
shell.logfile_read = sys.stdout
while (asked := shell.expect_exact([pexpect.EOF, *ANSWERS])) > 0:
    shell.send(list(ANSWERS.values())[asked - 1])
shell.close()
sys.exit(shell.exitstatus if shell.exitstatus is not None else 128 + shell.signalstatus)
