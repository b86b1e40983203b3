"""What is completed in real shells, at the press of the key."""

from __future__ import annotations

from box import Box

# Types lines into an interactive shell, each with a tab and then what ends it. A function in the place of `provision`
# prints what it is given, unless it is the shell that asks what may follow.
TYPE = """
import pexpect, sys
program, setup, *lines = sys.argv[1:]
shell = pexpect.spawn("/bin/sh", ["-c", "exec " + program], encoding="utf-8", timeout=60, dimensions=(50, 200))
# What is waited for must not be in the lines as they are typed, which the terminal shows as well.
given = 'if [ -n "$_ARGCOMPLETE" ]; then command provision; else echo GIV""EN: $*. ; fi'
shell.sendline("PATH=$PWD/.venv/bin:$PATH; " + setup + "; provision() { " + given + "; }; echo REA''DY")
shell.expect("READY[\\r\\n]")
for line in lines:
    # What is not called `provision` is given to it, in front of what is completed by then.
    shell.send(line + "\\t" + ("\\x01provision " if line.startswith("./") else ""))
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
    "provision run mrt": "run mrtrix3",
    "provision run mrtrix3 --orig": "run mrtrix3 --origin",
    "provision run mrtrix3 --origin pac": "run mrtrix3 --origin package",
    "provision run mrtrix3 --cpu=nat": "run mrtrix3 --cpu=native",
    "provision run mrtrix3 --check mrp": "run mrtrix3 --check mrpeek",
    "provision run deps mrtrix3 --mrtrix3-orig": "run deps mrtrix3 --mrtrix3-origin",
    "true; provision run mrt": "run mrtrix3",
    "provision store ver": "store verify",
    "provision store ls --store /ho": "store ls --store /home/",
    "provision run deps --on $HOME/.zf": "run deps --on /root/.zfunc/",
    "provision peek ~/.zf": "peek /root/.zfunc/",
    "provision peek /tmp/my\\ vo": "peek /tmp/my volume.nii",
    "provision remove ss": "remove sshd",
    "provision doc": "doctor",
    "provision doctor --js": "doctor --json",
}
# The script of a clone, which passes the question on.
OF_BOOTSTRAP = {
    "./bootstrap provision run mrt": "./bootstrap provision run mrtrix3",
    "./bootstrap provision run mrtrix3 --orig": "./bootstrap provision run mrtrix3 --origin",
}


def test_a_tab_completes_in_bash_zsh_and_fish(ready_trixie: Box) -> None:
    box = ready_trixie
    box.run("apt-get install -y -qq --no-install-recommends zsh fish > /dev/null")
    box.run("mkdir ~/.zfunc; touch '/tmp/my volume.nii'")
    box.write("/tmp/type.py", TYPE)
    told = {}
    for shell, (program, setup) in SETUPS.items():
        box.run(f".venv/bin/provision completion {shell.split()[0]} > /tmp/script")
        expected = LINES if shell == "zsh fpath" else {**LINES, **OF_BOOTSTRAP}
        lines = " ".join(f"'{line}'" for line in expected)
        done = box.run(f"TERM=dumb .venv/bin/python /tmp/type.py '{program}' '{setup}' {lines}")
        told[shell] = dict(zip(expected, done.stdout.splitlines(), strict=True))
        assert {line: told[shell].pop(line, given) for line, given in OF_BOOTSTRAP.items()} == OF_BOOTSTRAP
    # zsh takes the slash behind a folder away again when the line ends.
    for shell in ("zsh", "zsh fpath"):
        told[shell] = {line: word + "/" * LINES[line].endswith("/") for line, word in told[shell].items()}
    box.run(".venv/bin/provision completion fish > /tmp/script")
    # fish prints by itself what it would offer: the last word and, behind a tab, what it is for.
    expected = {**LINES, **OF_BOOTSTRAP}
    ask = "; ".join(f'complete -C "{line}"; echo' for line in expected)
    done = box.run(f"PATH=$PWD/.venv/bin:$PATH fish --no-config -c 'source /tmp/script; {ask}'")
    offered = [found.partition("\t")[0].strip().replace("~", "/root") for found in done.stdout.split("\n\n")]
    told["fish"] = {
        line: given if found and given.endswith(found) else found
        for (line, given), found in zip(expected.items(), offered, strict=False)
    }
    assert {line: told["fish"].pop(line) for line in OF_BOOTSTRAP} == OF_BOOTSTRAP
    assert told == dict.fromkeys(told, LINES)
