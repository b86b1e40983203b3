"""The sentences of the errors that people meet most often, each from what raises it; other tests look at the codes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

import provision
from provision import extras, paths
from provision.actions.logs import Log
from provision.cli import main as cli
from provision.colab import consent, drive
from provision.demo import pipeline
from provision.engine import events, lock, runner
from provision.errors import Interrupted, ProvisionError, unexpected
from provision.machine import notes
from provision.pictures import kinds, mrtrix3, reader, terminal
from provision.pictures import view as webview

ARRAY = np.ones((3, 4, 5), np.float32)
# A port that nothing listens at.
NOWHERE = "http://127.0.0.1:9/build.tar.zst"


def written(path, text="text"):
    path.write_text(text)
    return path


def command_line(words):
    cli._do(words.split())


def failed(kind="runner_on_failed", **result):
    """Raise what a run raises for a task that failed so on the machine node1."""
    event = {"event": kind, "event_data": {"host": "node1", "res": result}}
    raise runner._as_error(events.failure(event), None)


def unreachable(said):
    failed("runner_on_unreachable", msg=f"Failed to connect to the host via ssh: {said}")


def locked():
    """Wait for a lock that is taken, for no time at all."""
    with lock._lock.held("provision run mrtrix3"), lock.held("provision run deps", wait=0):
        pass


def gone(folder):
    """Name a relative path in a working folder that is not there any more."""
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    paths.absolute("out")


def without_mrtrix3(folder):
    with mock.patch.dict(os.environ, PATH=str(folder)), mock.patch.object(notes, "read_state", lambda _: {}):
        mrtrix3.command("mrinfo")


def refused_by_mrtrix3(_):
    raise mrtrix3._failure("mrinfo", "a.nii", ['file "a.nii" is smaller than expected'], 1)


def run_command(folder, script):
    """Run a program of a demo, which is this shell script."""
    written(folder / "dwi2fod", f"#!/bin/sh\n{script}\n").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    pipeline.run_command(["dwi2fod"], folder=folder, environment=environment, log=folder / "demo.log")


def on_no_terminal():
    with contextlib.redirect_stdout(io.StringIO()):
        terminal.check("provision peek a.nii -o picture.png")


def not_flushed():
    def refuse():
        raise OSError("it is full")

    drive._flush(SimpleNamespace(flush_and_unmount=refuse))


def mistaken():
    raise unexpected(KeyError("x"))


# What raises it, the code, the sentence, and what to do; the test's own folder is FOLDER.
ROWS = [
    (
        lambda _: provision.run("mrtrix"),
        "no-role",
        "There is no role 'mrtrix'.",
        "Did you mean 'mrtrix3'? Roles: deps, mrtrix3, mrpeek, ants, fsl, dcm2niix, sshd, ngrok, reverse_ssh.",
    ),
    (
        lambda _: provision.doctor(for_="dwibiascorrect antz"),
        "no-script",
        "There is no algorithm 'antz' for dwibiascorrect.",
        "Did you mean 'ants'? Algorithms: ants, fsl.",
    ),
    (
        lambda _: provision.run(),
        "usage",
        "No role was given.",
        "Roles: deps, mrtrix3, mrpeek, ants, fsl, dcm2niix, sshd, ngrok, reverse_ssh.",
    ),
    (
        lambda _: provision.run("reverse_ssh", gatway="me@host"),
        "no-option",
        "There is no option 'gatway' for reverse_ssh.",
        (
            "Did you mean 'gateway'? Options: gateway, known_hosts, identity, port, gateway_port, jump, "
            "max_seconds, accept_colab_policy, state."
        ),
    ),
    (
        lambda _: provision.run("deps", "mrtrix3", state="present"),
        "ambiguous",
        "state is ambiguous.",
        "Use deps_state or mrtrix3_state.",
    ),
    (
        lambda _: provision.run("deps", mrtrix3_version="any"),
        "no-effect",
        "mrtrix3_version would have no effect: mrtrix3 is not being run.",
        "Leave it out, or run mrtrix3 as well.",
    ),
    (
        lambda _: provision.run("mrtrix3", version="3.0.8", mrtrix3_version="any"),
        "given-twice",
        "mrtrix3_version was given twice.",
        "Use either its short or its full name.",
    ),
    (
        lambda _: provision.run("mrtrix3", version=3.1),
        "bad-value",
        "version takes text, not 3.1.",
        'Write it in quotes: "3.1".',
    ),
    (
        lambda _: provision.run("mrtrix3", state="presnt"),
        "bad-value",
        "state cannot be 'presnt'.",
        "Did you mean 'present'? Choices: present, absent.",
    ),
    (
        lambda _: provision.run("deps", on="fleet.yml"),
        "no-file",
        "There is no inventory FOLDER/fleet.yml.",
        "Give the path of an Ansible inventory, or hosts.",
    ),
    (
        lambda folder: provision.run("deps", on=written(folder / "fleet.yml", "all: {host: {a: }}")),
        "bad-inventory",
        "The inventory FOLDER/fleet.yml is invalid: the group 'all' has an unknown key 'host'.",
        "Did you mean 'hosts'? A group has hosts, vars and children; see inventory/fleet.example.yml.",
    ),
    (
        lambda _: provision.run("deps", ask_become_pass=True),
        "declined",
        "No sudo password was typed.",
        "Run it in a terminal or a notebook, or as root.",
    ),
    (
        lambda _: consent.complete(["sshd", "ngrok"], {}, local=True, check=False),
        "no-token",
        "ngrok needs the authtoken of your account.",
        (
            "Copy it from https://dashboard.ngrok.com/get-started/your-authtoken, and set the variable or "
            "Colab secret NGROK_AUTHTOKEN."
        ),
    ),
    (
        gone,
        "no-working-folder",
        "The working folder is gone: it was deleted, or its drive is no longer mounted.",
        "Change to an existing folder with cd (in a notebook, %cd /content).",
    ),
    (
        lambda _: locked(),
        "locked",
        "This machine is being changed by provision run mrtrix3 (PROCESS).",
        "Wait for it to finish, then run it again.",
    ),
    (
        lambda _: failed(msg="Missing sudo password"),
        "sudo-password",
        "Installing packages needs root, and sudo asks for a password.",
        "Run it again with --ask-become-pass, or as root.",
    ),
    (
        lambda _: failed(msg="cp: cannot write: No space left on device"),
        "disk-full",
        "The disk is full.",
        "Free some space and run it again.",
    ),
    (
        lambda _: failed(msg="E: Could not get lock /var/lib/dpkg/lock-frontend."),
        "apt-locked",
        "Another package manager is running and did not finish in time.",
        "Wait for it to finish and run it again.",
    ),
    (
        lambda _: failed(msg="Temporary failure resolving 'deb.debian.org'"),
        "unreachable",
        "deb.debian.org could not be reached.",
        "Check the network and run it again.",
    ),
    (
        lambda _: failed(msg="MODULE FAILURE", rc=137, module_stderr="Killed"),
        "killed",
        "This step was killed, perhaps because memory ran out.",
        "Run it again to resume.",
    ),
    (
        lambda _: unreachable("Host key verification failed."),
        "host-key-unknown",
        "node1 could not be reached: its host key is unknown.",
        "Connect once with ssh and compare the fingerprint, or add the key to ~/.ssh/known_hosts.",
    ),
    (
        lambda _: unreachable("me@node1: Permission denied (publickey)."),
        "ssh-denied",
        "node1 could not be reached: it accepts none of this user's keys.",
        "Try to connect with ssh.",
    ),
    (
        lambda _: command_line("rnu mrtrix3"),
        "usage",
        "There is no command 'rnu'.",
        (
            "Did you mean 'run'? Commands: run, list, describe, demo, status, stop, sample, store, lock, process, "
            "cloud-init, peek, glyphs, tracks, qc, completion, doctor, logs, remove, "
            "modulefile."
        ),
    ),
    (
        lambda _: command_line("stop --jsno"),
        "no-option",
        "There is no option '--jsno' for stop.",
        "Did you mean '--json'? Options: --on, --limit, --forks, --wait, --no-wait, --json, --help.",
    ),
    (
        lambda _: command_line("list deps"),
        "usage",
        "Unexpected argument 'deps': `provision list` takes none.",
        "See provision list --help.",
    ),
    (
        lambda _: command_line("remove"),
        "declined",
        "Nothing was removed.",
        "Type yes when asked, or pass --yes.",
    ),
    (
        lambda _: command_line("logs 7"),
        "no-log",
        "There is no log 7.",
        "There are none in FOLDER/provision/logs.",
    ),
    (
        lambda folder: Log(folder / "a.log", 0.0, ()).text,
        "no-log",
        "The log FOLDER/a.log cannot be read: no such file or directory.",
        "Later runs delete the oldest logs.",
    ),
    (
        lambda folder: provision.Result(0, 1.0, {"node1": {"sshd": {"password_file": folder / "x"}}}).sshd.password,
        "no-file",
        "The password cannot be read from FOLDER/x: no such file or directory.",
        'Only the user who started the server can read it; provision.run("sshd") replaces a missing one.',
    ),
    (
        lambda _: extras.require("view", "Pictures of images", "no_such_package"),
        "missing-packages",
        "Pictures of images need Python packages that are not installed: no_such_package.",
        'Install them: pip install "mrtrix-provision[view]".',
    ),
    (
        without_mrtrix3,
        "not-installed",
        "Pictures are read by MRtrix3, which is not installed.",
        'Install it: provision.run("mrtrix3").',
    ),
    (
        lambda folder: reader._checked(folder / "a.nii"),
        "no-file",
        "There is no file FOLDER/a.nii.",
        "Check the path.",
    ),
    (
        lambda _: reader._plain_type(ARRAY[0, 0]),
        "wrong-image",
        "The array has the size 5, so there is no slice.",
        "",
    ),
    (
        refused_by_mrtrix3,
        "damaged",
        "MRtrix3 cannot read a.nii: file a.nii is smaller than expected.",
        "Copy or create it again.",
    ),
    (
        lambda _: kinds._check_shape(ARRAY.shape),
        "not-fods",
        "FODs and tensors are 4-D images; this one has 3 dimensions: 3 x 4 x 5.",
        "",
    ),
    (
        lambda _: on_no_terminal(),
        "no-terminal",
        "Standard output is not a terminal.",
        "Write a file: provision peek a.nii -o picture.png.",
    ),
    (
        lambda _: provision.view(),
        "nothing-to-show",
        "There is nothing to show.",
        'Pass an image: provision.view("fa.nii.gz").',
    ),
    (
        lambda _: webview._check_notebook(),
        "no-notebook",
        "This can be shown only in a notebook.",
        "Call it in a cell of JupyterLab or Google Colab; for a terminal, use provision.peek.",
    ),
    (
        lambda _: provision.store.export("mrtrix3", ".", "store"),
        "no-build",
        "There are no builds in FOLDER/store.",
        "Choose another store.",
    ),
    (
        lambda folder: provision.store.import_(written(folder / "a.tar.zst"), "0" * 64, "store", progress=print),
        "wrong-checksum",
        (
            "This archive has the wrong SHA-256: "
            "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1, not "
            "0000000000000000000000000000000000000000000000000000000000000000."
        ),
        "Compare it with the output of provision store export, or fetch the archive again.",
    ),
    (
        lambda _: provision.store.import_(NOWHERE, "0" * 64, "store", progress=print),
        "unreachable",
        "http://127.0.0.1:9/build.tar.zst could not be reached: Connection refused.",
        "Check the URL and the network, then run it again.",
    ),
    (
        lambda _: provision.sample("phantm"),
        "bad-value",
        "There is no sample 'phantm'.",
        "Did you mean 'phantom'? Samples: phantom, sherbrooke_3shell, bids.",
    ),
    (
        lambda folder: run_command(folder, "echo no; exit 3"),
        "failed",
        "dwi2fod failed with exit code 3:\nno",
        "The full output is in FOLDER/demo.log.",
    ),
    (
        lambda folder: run_command(folder, "kill -9 $$"),
        "killed",
        "dwi2fod was stopped by signal 9 (Killed).",
        "The full output is in FOLDER/demo.log. The machine may have run out of memory.",
    ),
    (
        lambda folder: pipeline.check_limits({"crossing": pipeline.Angles(9, 15.0, 20.0, 10.0)}, folder / "demo.log"),
        "wrong-fibres",
        "The fibres found differ from the true ones: the median angle is 15.0 degrees (crossing, at most 10).",
        (
            "Look at FOLDER/fod.png: lines across the ring mean that the gradients were flipped. With the "
            "default size and SNR a working MRtrix3 passes, so try another version or origin."
        ),
    ),
    (
        lambda _: not_flushed(),
        "drive-not-flushed",
        "Google Drive could not be flushed: it is full.",
        "Keep the session open until drive.google.com shows the files that provision.store.ls() lists.",
    ),
    (
        lambda _: mistaken(),
        "internal",
        "This is a bug in provision: KeyError: 'x'.",
        "Please report it.",
    ),
]


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine with nothing on it, nobody at a terminal, and a working folder of the test's own."""
    for name in ("NGROK_AUTHTOKEN", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(notes, "read_state", lambda _: {})
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)


def as_written(text, folder):
    """Return a sentence with what differs from run to run as the table has it."""
    return re.sub(r"process \d+, since [\d:]+", "PROCESS", text.replace(str(folder), "FOLDER"))


@pytest.mark.parametrize(("provoke", "code", "message", "hint"), ROWS, ids=[row[1] for row in ROWS])
def test_an_error_is_told_in_this_sentence_with_this_to_do(tmp_path, provoke, code, message, hint):
    with pytest.raises(ProvisionError) as raised:
        provoke(tmp_path)
    found = as_written(raised.value.message, tmp_path), as_written(raised.value.hint, tmp_path)
    assert (raised.value.code, *found) == (code, message, hint)


def test_an_interrupted_cell_is_told_in_this_sentence():
    assert str(Interrupted()) == (
        "Interrupted: everything that was running has been stopped. Run the cell again to resume."
    )


def test_an_interrupted_command_is_told_in_these_sentences(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("provision.status", interrupt)
    assert cli.main(["status"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "Interrupted. Run the same command to resume.\n"
