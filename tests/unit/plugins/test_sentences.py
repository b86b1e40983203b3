"""The sentences that people meet most often, as they read them: all other tests assert codes and values."""

from __future__ import annotations

import errno
import os
import platform
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ansible")

from plugins.module_utils.provision import apt, failures, file_lock, ngrok_errors, processes
from plugins.module_utils.provision.build import driver, tree
from plugins.module_utils.provision.download import fetch
from plugins.module_utils.provision.look import keys, login, ngrok, reverse_ssh, sshd, tool
from plugins.module_utils.provision.store import pack, read
from plugins.module_utils.provision.tool import install, mrtrix3
from plugins.modules import git_reference, reverse_ssh_tunnel, sshd_login

from .module_utils.look.public_keys import KEY
from .module_utils.store.packed import crafted, failing, frame_of, plain, tar_of

MRTRIX3 = mrtrix3.MRtrix3({"name": "mrtrix3", "title": "MRtrix3"})
NGROK = {
    "port": 2222, "remote_addr": "", "region": "", "server_addr": "", "root_cas": "", "max_seconds": 0,
    "agent_path": "", "download_url": "", "sha256": "", "accept_colab_policy": True, "token_mark": "",
}  # fmt: skip
TUNNEL = {"gateway": "", "known_hosts": "", "port": 1, "gateway_port": 0, "max_seconds": 0, "accept_colab_policy": True}
Told = Sequence[str] | None


def keys_in(text: str, place: Path) -> Told:
    (place / "a.pub").write_text(text)
    return keys.authorized_keys(["a.pub"], str(place))


def private_key(text: str, place: Path) -> Told:
    (place / "key").write_text(text)
    return keys.private_key("key", str(place), "reverse_ssh_identity")


def taken_port(place: Path) -> Told:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        problem = sshd.sshd_problem(
            {"port": port, "listen_addresses": ["127.0.0.1"], "authorized_keys": [KEY], "with_password": False,
             "environment": {}},
            login.user_name(), 0, "/nonexistent/sshd", {"root": True, "state": "/nonexistent"},
        )  # fmt: skip
    return [text.replace(str(port), "2222") for text in problem]


def user(name: str, root: bool) -> Told:
    return login.user_problem({"with_password": False, "authorized_keys": []}, name, {"root": root})


def of_ngrok(place: Path, key: str = KEY, agent: str = "", **wanted: object) -> Told:
    return ngrok.ngrok_problem({**NGROK, **wanted}, str(place), {"path": agent, "version": ""}, key)


def on_colab(place: Path) -> Told:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLAB_RELEASE_TAG", "release-colab_20260909")
        return of_ngrok(place, accept_colab_policy=False)


def tunnel(known: Sequence[str] = (), **wanted: str) -> Told:
    asked = {**TUNNEL, **wanted}
    return reverse_ssh.tunnel_problem(asked, reverse_ssh.gateway_parts(asked["gateway"]), known)


def of_ssh(*said: str) -> Told:
    return reverse_ssh_tunnel.explain(said, gateway="me@gw", port=2345, authorize="LINE", log="/log")


def of_apt(said: str, lists: str = "") -> Told:
    raise apt.explained("install git", said, lists)


def downloaded(source: str, place: Path) -> Told:
    (place / "a b").write_text("x")
    return fetch(source, str(place / "got/x"), "0" * 64)


def unsuitable(place: Path, number: int) -> Told:
    """Adopt an archive into a store of which the system refuses everything."""
    (place / "x.tar.zst").touch()
    with failing(place / "store", number, 0, looks=False):
        return pack.adopt(str(place / "x.tar.zst"), str(place / "store"))


def archive(place: Path, content: bytes, **options: str) -> Told:
    (place / "x.tar.zst").write_bytes(content)
    return read.read_archive(str(place / "x.tar.zst"), **options)


def build(place: Path, jobs: int = 4) -> driver.Build:
    return driver.Build(str(place), "", jobs, print, None)


def failed_build(place: Path, said: str, jobs: int = 4) -> Told:
    raise build(place, jobs)._failure([said], 1)


def without_compiler(place: Path) -> Told:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(place))
        return build(place).settings()


def two_builds(place: Path) -> Told:
    with file_lock.locked(str(place / ".provision-lock")), tree.tree_locked(str(place), seconds=0):
        return None


def filled_prefix(place: Path) -> Told:
    (place / "opt").mkdir()
    (place / "opt/thesis.tex").touch()
    return tool.refusal_of("mrtrix3", str(place / "opt"), "")


def command(place: Path, script: str) -> Told:
    (place / "mrinfo").write_text(f"#!/bin/sh\n{script}\n")
    (place / "mrinfo").chmod(0o755)
    return mrtrix3.try_commands(str(place), ["mrinfo"])


def unpacked(place: Path) -> Told:
    (place / "x.tar.gz").write_text("<html>Not found</html>")
    (place / "in").mkdir()
    with install.unpacked_build(str(place / "x.tar.gz"), str(place / "in")):
        return None


def full_disk(place: Path) -> Told:
    with open("/dev/full", "w") as file:
        file.write("x")


def ended(place: Path) -> Told:
    return processes.start(
        ["false"], pid_file=str(place / "run/it.pid"), log=str(place / "run/it.log"),
        environment={"PATH": os.defpath}, ready=lambda: False,
    )  # fmt: skip


ROWS: list[tuple[Callable[[Path], Told], str, str, str]] = [
    (
        lambda place: keys.authorized_keys(["a.pub"], str(place)),
        "no-file",
        "sshd_authorized_keys has PLACE/a.pub, which is neither a public key nor a file",
        "Give the line of a .pub file, or its path: ~/.ssh/id_ed25519.pub.",
    ),
    (
        lambda place: keys_in("", place),
        "no-key",
        "sshd_authorized_keys: there is no key in PLACE/a.pub",
        "Give the line of a .pub file, or its path.",
    ),
    (
        lambda place: keys_in(KEY[:-8], place),
        "bad-key",
        "sshd_authorized_keys: line 1 of PLACE/a.pub is not a complete public key",
        "Copy the whole line of a .pub file, or give its path.",
    ),
    (
        lambda place: keys_in("-----BEGIN OPENSSH PRIVATE KEY-----\n", place),
        "private-key",
        "sshd_authorized_keys has a private key, which you must not give away",
        "Give the public one, in the file of the same name with .pub; for a .ppk, puttygen -L prints it.",
    ),
    (
        lambda place: keys_in("---- BEGIN SSH2 PUBLIC KEY ----\n", place),
        "key-form",
        "sshd_authorized_keys: PLACE/a.pub is a public key in PuTTY's format (RFC 4716)",
        "Give the line that `ssh-keygen -i -f FILE` prints.",
    ),
    (
        lambda place: private_key("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", place),
        "key-passphrase",
        "reverse_ssh_identity names a key with a passphrase, which nobody could type",
        'Make a key without one for this purpose: ssh-keygen -t ed25519 -N "" -f key',
    ),
    (
        lambda _: user(login.user_name(), root=False),
        "needs-root",
        "Only root can set a password",
        "Give a public key: sshd_authorized_keys=~/.ssh/id_ed25519.pub.",
    ),
    (
        lambda _: user("jane-doe", root=True),
        "no-user",
        "There is no user jane-doe on this machine",
        "Set sshd_user to an existing user, or create this one first.",
    ),
    (
        taken_port,
        "port-taken",
        "The SSH server cannot listen on port 2222 of 127.0.0.1: address already in use",
        "Change sshd_port or sshd_listen_addresses.",
    ),
    (
        lambda _: sshd_login.explain(["Permission denied"], "jane"),
        "login-refused",
        "The SSH server runs, but jane could not log in: Permission denied.",
        "Check the output of `ssh -v`, or choose another user: sshd_user.",
    ),
    (
        on_colab,
        "declined",
        "Colab's terms forbid SSH shells and other remote control unless you have paid for compute units, and "
        "forbid connecting to remote proxies altogether",
        "Use pictures in the notebook (provision.peek, provision.view), Colab's own terminal or its command "
        "`colab ssh`. If your plan allows remote control, confirm that with ngrok_accept_colab_policy=true.",
    ),
    (
        of_ngrok,
        "no-token",
        "ngrok needs a token, and none is saved on this machine",
        "Set ngrok_authtoken; you find it at https://dashboard.ngrok.com/get-started/your-authtoken",
    ),
    (
        lambda place: of_ngrok(place, key="", token_mark="x"),
        "no-ssh-server",
        "No SSH server answers at port 2222 of this machine",
        "Run the role sshd first, or choose another port: ngrok_port.",
    ),
    (
        lambda place: of_ngrok(place, agent="/no/ngrok", agent_path="/no/ngrok"),
        "agent-does-not-run",
        "/no/ngrok is not an ngrok agent that runs here",
        "Set ngrok_agent_path to another one, or leave it out to download one.",
    ),
    (
        lambda _: ngrok_errors.explain("ERR_NGROK_8013", "x"),
        "ngrok-8013",
        "ngrok opens TCP endpoints for free accounts only after you add a payment card, which is not charged "
        "(ERR_NGROK_8013).",
        "Add one at https://dashboard.ngrok.com/settings#id-verification, or use a server of your own (role "
        "reverse_ssh). More: https://ngrok.com/docs/errors/err_ngrok_8013",
    ),
    (
        lambda _: ngrok_errors.explain("ERR_NGROK_108", "x"),
        "ngrok-108",
        "Your ngrok account is already running as many agents as its plan allows (ERR_NGROK_108).",
        "Stop one at https://dashboard.ngrok.com/agents; it may belong to an earlier notebook. More: "
        "https://ngrok.com/docs/errors/err_ngrok_108",
    ),
    (
        lambda _: ngrok_errors.explain("ERR_NGROK_334", "x"),
        "ngrok-334",
        "The address is in use by another agent (ERR_NGROK_334).",
        "Stop it at https://dashboard.ngrok.com/endpoints, or change ngrok_remote_addr or leave it out. More: "
        "https://ngrok.com/docs/errors/err_ngrok_334",
    ),
    (
        lambda _: ngrok_errors.explain("Your planet is not served yet.\nERR_NGROK_98765", "x"),
        "ngrok-98765",
        "ngrok refused: Your planet is not served yet (ERR_NGROK_98765).",
        "More: https://ngrok.com/docs/errors/err_ngrok_98765",
    ),
    (
        lambda _: ngrok_errors.explain("dial tcp: connection refused", "x"),
        "ngrok-unreachable",
        "ngrok's service cannot be reached from this machine.",
        "Allow outgoing connections to port 443 of connect.ngrok-agent.com, without a proxy.",
    ),
    (
        lambda _: tunnel(),
        "bad-value",
        "reverse_ssh_gateway is missing",
        "Set it to a host of yours and your user there: reverse_ssh_gateway=user@host.",
    ),
    (
        lambda _: tunnel(gateway="me@gw"),
        "gateway-key-unknown",
        "reverse_ssh_known_hosts is missing, so this machine could not tell the gateway from an impostor",
        "Give the path of your own known_hosts if you have logged in there before, or the output of "
        "`ssh-keyscan -t ed25519 -p 22 gw` on a machine and network that you trust.",
    ),
    (
        lambda _: tunnel([f"gw {KEY}"], gateway="me@gw"),
        "no-ssh-server",
        "No SSH server answers at port 1 of 127.0.0.1",
        "Run the role sshd first, or choose another port: reverse_ssh_port.",
    ),
    (
        lambda _: of_ssh("me@gw: Permission denied (publickey)."),
        "gateway-refuses-key",
        "The gateway refuses this machine's key for me@gw, or does not know that user.",
        "Add this line to that user's ~/.ssh/authorized_keys on the gateway: LINE",
    ),
    (
        lambda _: of_ssh("remote port forwarding failed for listen port 2345"),
        "gateway-port-taken",
        "The gateway me@gw does not forward port 2345: it is in use there, or not allowed.",
        "Wait until the gateway drops a dead session (ClientAliveInterval in its sshd_config). Or change "
        "reverse_ssh_gateway_port, with this line in its authorized_keys: LINE",
    ),
    (
        lambda _: of_ssh("REMOTE HOST IDENTIFICATION HAS CHANGED!"),
        "gateway-key-changed",
        "The host key of the gateway me@gw is not the one in reverse_ssh_known_hosts: it was reinstalled, or "
        "somebody is intercepting the connection.",
        "Compare the key on a network that you trust before you replace the line.",
    ),
    (
        lambda _: of_apt("E: Unable to locate package git"),
        "no-package",
        "The distribution has no package 'git'.",
        "Check the name. The package lists may also be outdated: check the output of apt-get update, and "
        "/etc/apt/sources.list.",
    ),
    (
        lambda _: of_apt("E: Could not get lock /var/lib/dpkg/lock. It is held by process 7 (apt)"),
        "apt-locked",
        "apt cannot install git: Could not get lock /var/lib/dpkg/lock. It is held by process 7 (apt).",
        "Wait for the other package manager to finish, then run it again.",
    ),
    (
        lambda _: of_apt("E: The repository 'http://x' is not signed."),
        "unsigned-source",
        "apt cannot install git: The repository 'http://x' is not signed.",
        "Install that source's key or remove the source, then run it again.",
    ),
    (
        lambda _: of_apt("dpkg: error: failed to write (No space left on device)"),
        "disk-full",
        "The disk is full.",
        "Free some space and run it again: it continues from here.",
    ),
    (
        lambda place: downloaded(str(place / "none"), place),
        "no-file",
        "PLACE/none cannot be read: No such file or directory.",
        "Check the path.",
    ),
    (
        lambda place: downloaded(f"file://{place}/a%20b", place),
        "wrong-checksum",
        "file://PLACE/a%20b is not the expected file: its SHA-256 is "
        f"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881, not {'0' * 64}.",
        "Check the SHA-256, or make or download the file again.",
    ),
    (
        lambda place: downloaded("ftp://host/x", place),
        "bad-url",
        "ftp:// is not supported.",
        "Give a path, or a URL that starts with https, http or file.",
    ),
    (
        lambda place: downloaded("http://127.0.0.1:9/x", place),
        "unreachable",
        "http://127.0.0.1:9/x could not be reached: Connection refused.",
        "Check the URL and the network, then run it again.",
    ),
    (
        lambda _: git_reference.wrong_commit("r", "3.0.8", "f" * 40, "released", "mrtrix3_commit"),
        "wrong-commit",
        "Version 3.0.8 in r is not the commit that MRtrix3 released under that number: "
        "ffffffffffffffffffffffffffffffffffffffff.",
        "Use MRtrix3's own repository or a clone of it. For a repository with changes of your own, set "
        "mrtrix3_commit=COMMIT.",
    ),
    (
        lambda place: unsuitable(place, errno.ENOSPC),
        "disk-full",
        "The store PLACE/store is full.",
        "Free some space there: provision store prune --keep 2.",
    ),
    (
        lambda place: unsuitable(place, errno.EROFS),
        "read-only",
        "The store PLACE/store cannot be written to.",
        "Choose another store.",
    ),
    (
        lambda place: unsuitable(place, errno.ENOTCONN),
        "not-mounted",
        "The store PLACE/store is no longer mounted.",
        "Mount it again.",
    ),
    (
        lambda place: pack.adopt(str(place / "x.tar.zst"), str(place / "store")),
        "no-file",
        "There is no archive PLACE/x.tar.zst.",
        "Give the path of a file that ends in .tar.zst.",
    ),
    (
        lambda place: archive(place, b""),
        "cut-off",
        "it is broken: it ends too early",
        "",
    ),
    (
        lambda place: archive(place, frame_of(tar_of(plain("x")))),
        "not-a-build",
        "it does not start with a manifest",
        "",
    ),
    (
        lambda place: read.read_archive(crafted(place / "store", plain("../x"))),
        "unsafe-archive",
        "its member '../x' would be written outside the folder it is unpacked to",
        "",
    ),
    (
        without_compiler,
        "no-compiler",
        "There is no working C++ compiler.",
        "Install one with the role deps: provision run deps.",
    ),
    (
        two_builds,
        "locked",
        "Another run is building MRtrix3 in PLACE.",
        "Wait for it to finish, or stop it.",
    ),
    (
        lambda place: failed_build(place, "x.cpp:1:2: error: 'y' was not declared"),
        "build-failed",
        "MRtrix3 could not be built: x.cpp:1:2: error: 'y' was not declared",
        "The full output is in PLACE/provision-build.log.",
    ),
    (
        lambda place: failed_build(place, "g++: fatal error: Killed signal terminated program cc1plus"),
        "out-of-memory",
        "The compiler ran out of memory.",
        "Use fewer jobs: mrtrix3_jobs=2.",
    ),
    (
        lambda _: tree.check_commands(SimpleNamespace(known=lambda: ["mrinfo"]), ["mrinf"]),
        "no-command",
        "This version of MRtrix3 has no command 'mrinf'.",
        "Did you mean 'mrinfo'?",
    ),
    (
        filled_prefix,
        "prefix",
        "The prefix PLACE/opt contains files that this role did not install.",
        "Choose another folder: mrtrix3_prefix.",
    ),
    (
        lambda place: command(place, "echo GLIBC_2.38 not found >&2; exit 1"),
        "does-not-run",
        "mrinfo does not run: GLIBC_2.38 not found.",
        "It was built on a newer system; use a build for this one, or compile from source.",
    ),
    (
        unpacked,
        "cut-off",
        "PLACE/x.tar.gz cannot be unpacked: it ends too early.",
        "Make or download it again.",
    ),
    (
        lambda _: MRTRIX3.check_version("3.0.8", {"version": "3.0.9"}),
        "other-version",
        "This is MRtrix3 3.0.8, not 3.0.9.",
        "Set mrtrix3_version to 3.0.8 or any.",
    ),
    (
        lambda _: MRTRIX3._check_fits({"arch": "pdp11"}, None),
        "other-machine",
        f"This build is not for this machine: it is for pdp11, and this machine is {platform.machine()}.",
        "",
    ),
    (
        full_disk,
        "disk-full",
        "The disk is full.",
        "Free some space there and run it again.",
    ),
    (
        lambda place: place.write_text("x"),
        "system-error",
        "PLACE is not a regular file.",
        "Move it out of the way and run it again.",
    ),
    (
        ended,
        "process-not-started",
        "false ended right after it was started.",
        "",
    ),
]


def told(provoke: Callable[[Path], Told], place: Path) -> tuple[str, str, str]:
    """Return the code, the sentence and the hint of an error that is raised, or returned as three texts."""
    try:
        found = provoke(place)
    except keys.Wrong as error:
        found = error.args
    except processes.ProcessError as error:
        found = str(error), "", error.code
    except (failures.Problem, OSError) as error:
        said = failures.failure(error)
        found = said["msg"], said["hint"], said["code"]
    message, hint, code = (text.replace(str(place), "PLACE") for text in found)
    return code, message, hint


@pytest.mark.parametrize(("provoke", "code", "sentence", "hint"), ROWS, ids=[row[1] for row in ROWS])
def test_what_is_said(tmp_path, provoke, code, sentence, hint):
    assert told(provoke, tmp_path) == (code, sentence, hint)
