"""What is completed in real shells, at the press of the key."""

from __future__ import annotations

from box import Box

# Types lines into an interactive shell, each with a tab and then what ends it; a function in the place of `provision`
# prints what it is given.
TYPE = """
import pexpect, sys
program, setup, *lines = sys.argv[1:]
shell = pexpect.spawn("/bin/sh", ["-c", "exec " + program], encoding="utf-8", timeout=60, dimensions=(50, 200))
shell.sendline(setup + "; provision() { echo GIVEN: $*. ; }; echo READY")
shell.expect("READY[\\r\\n]")
for line in lines:
    shell.send(line + "\\t")
    shell.send("\\r")
    shell.expect("GIVEN: (.*?)[.][\\r\\n]")
    print(shell.match[1])
"""
SETUPS = {
    "bash": ("bash --norc -i", "source /tmp/script"),
    "zsh": ("zsh -f -i", "autoload -U compinit; compinit -u -D; source /tmp/script"),
    # As the documentation puts it where zsh looks by itself.
    "zsh fpath": ("zsh -f -i", "cp /tmp/script ~/.zfunc/_provision; fpath+=~/.zfunc; autoload compinit; compinit -u"),
}
LINES = {
    "run mrt": "run mrtrix3",
    "run mrtrix3 --orig": "run mrtrix3 --origin",
    "run mrtrix3 --origin pac": "run mrtrix3 --origin package",
    "run deps mrtrix3 --mrtrix3-orig": "run deps mrtrix3 --mrtrix3-origin",
    "store ver": "store verify",
    "store ls --store /ho": "store ls --store /home/",
    "remove ss": "remove sshd",
    "doc": "doctor",
    "doctor --js": "doctor --json",
}


def test_a_tab_completes_in_bash_zsh_and_fish(ready_trixie: Box) -> None:
    box = ready_trixie
    box.run("apt-get install -y -qq --no-install-recommends zsh fish > /dev/null")
    box.write("/tmp/type.py", TYPE)
    told = {}
    for shell, (program, setup) in SETUPS.items():
        box.run(f"mkdir -p ~/.zfunc; .venv/bin/provision completion {shell.split()[0]} > /tmp/script")
        lines = " ".join(f"'provision {line}'" for line in LINES)
        done = box.run(f"TERM=dumb .venv/bin/python /tmp/type.py '{program}' '{setup}' {lines}")
        told[shell] = dict(zip(LINES, done.stdout.splitlines(), strict=True))
    box.run(".venv/bin/provision completion fish > /tmp/script")
    # fish tells by itself what it would offer: a word and, behind a tab, what it is for.
    ask = "; ".join(f'complete -C "provision {line}"; echo' for line in LINES)
    offered = box.run(f"fish --no-config -c 'source /tmp/script; {ask}'").stdout.split("\n\n")
    told["fish"] = {
        line: f"{line.rpartition(' ')[0]} {found.partition(chr(9))[0].strip()}".strip()
        for line, found in zip(LINES, offered, strict=False)
    }
    # zsh takes the slash behind a folder away again when the line ends.
    for shell in ("zsh", "zsh fpath"):
        told[shell] = {line: word + "/" * LINES[line].endswith("/") for line, word in told[shell].items()}
    assert told == dict.fromkeys(told, LINES)
