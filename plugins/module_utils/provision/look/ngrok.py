"""The ngrok endpoint of this machine, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time

from ..alive import answers, running
from ..commands import run
from ..notes import read_state
from ..places import state_folder
from ..reading import is_elf, read_json
from .connection import colab_policy_problem, offered_key, server_port, way_in
from .deps import absent_report
from .login import user_of

# The role's options whose change requires a new endpoint.
OPTIONS = (
    "port",
    "remote_addr",
    "region",
    "server_addr",
    "root_cas",
    "max_seconds",
    "agent_path",
    "download_url",
    "sha256",
)
# The oldest agents that this role can configure, and the first with version 3 of the configuration format.
OLDEST, FIRST_OF_FORM_3 = [2, 3, 0], [3, 16, 0]
# The oldest version that free accounts may use. Older agents on PATH are ignored.
_OLDEST_OF_PATH = [3, 0, 0]
_NO_FILE = ("", "trusted", "host")  # what ngrok_root_cas can be beside a path
_TOKEN_URL = "https://dashboard.ngrok.com/get-started/your-authtoken"


# --- The token -------------------------------------------------------------------------------------------------------


def kept_token(folder):
    """Return the token in the agent's configuration, an empty string if there is none."""
    configuration = read_json(os.path.join(folder, "ngrok.yml"))
    agent = configuration.get("agent", configuration)
    return str(agent.get("authtoken", "")) if isinstance(agent, dict) else ""


def token_mark(token):
    """Return a mark that distinguishes tokens, empty for none."""
    # It may be shown: 48 bits do not reveal which of 2**190 tokens it is, and the prefix defeats tables of digests.
    return hashlib.sha256(f"provision ngrok {token}".encode()).hexdigest()[:12] if token else ""


# --- The agent -------------------------------------------------------------------------------------------------------


def agent_version(path):
    """Return an agent's version, such as ``3.39.10``, an empty string if it is not an agent or does not run."""
    found = re.search(r"ngrok version (\d+\.\d+\.\d+)", run([path, "version"])[1])
    return found.group(1) if found else ""


def numbers(version):
    """Return a version in comparable form; an empty one is older than all others."""
    return [int(number) for number in version.split(".")] if version else []


def path_of(wanted, option):
    """Return the path that an option names: a relative one starts from the folder of the run's user."""
    return os.path.join(wanted.get("folder", ""), os.path.expanduser(wanted[option]))


def find_agent(wanted, folder):
    """Return the ``path`` and ``version`` of the agent to use: the one named, on PATH, or downloaded."""
    if wanted["agent_path"]:
        path = path_of(wanted, "agent_path")
        return {"path": path, "version": agent_version(path)}
    for place in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(place, "ngrok")
        # pyngrok installs a script of that name, which would download an agent by itself.
        if os.access(path, os.X_OK) and is_elf(path) and numbers(agent_version(path)) >= _OLDEST_OF_PATH:
            return {"path": path, "version": agent_version(path)}
    path = os.path.join(folder, "agent", "ngrok")
    version = agent_version(path)
    return {"path": path, "version": version} if version else {"path": "", "version": ""}


# --- The endpoint ----------------------------------------------------------------------------------------------------


def public_address(url):
    """Return the host and port of ``tcp://HOST:PORT``."""
    host, _colon, port = url.partition("://")[2].rpartition(":")
    return host, int(port)


def ngrok_report(url, expires, port, key):
    """Return the report of an endpoint that leads to the server with a host key."""
    return {"url": url, **way_in(user_of(port), *public_address(url), key), "expires": expires, "state": "started"}


def has_passed(moment):
    """Return whether a time, such as ``2026-01-31T12:00:00Z``, has passed; an empty one never does."""
    return bool(moment) and moment <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def ngrok_drift(wanted, state, folder, pid, key):
    """Return in words how the endpoint noted in `state` differs from the one wanted; empty if it does not."""
    report = state.get("report")
    if not report:
        return "no address is open"
    noted = state.get("wanted", {})
    for name in OPTIONS:
        if noted.get(name) != wanted[name]:
            return f"ngrok_{name} has changed"
    kept = token_mark(kept_token(folder))
    if not kept or kept != noted.get("token_mark") or wanted["token_mark"] not in ("", kept):
        return "the token has changed"
    if not pid:
        return "its time limit has passed" if has_passed(report["expires"]) else "the agent is not running"
    if not key:
        return f"no SSH server answers at port {wanted['port']}"
    if offered_key(*public_address(report["url"]), seconds=3) != key:
        return f"{report['url']} does not lead to this machine"
    if report != ngrok_report(report["url"], report["expires"], wanted["port"], key):
        return "the SSH server has another user or host key"
    return ""


# --- What is wrong with the options ----------------------------------------------------------------------------------


def ngrok_problem(wanted, folder, agent, key):
    """Return [problem, hint, code] for options that cannot be used; an empty list if all is well."""
    consents = wanted["accept_colab_policy"] or wanted.get("can_ask")
    return (
        colab_policy_problem(consents, "ngrok_accept_colab_policy")
        or _wrong_number(wanted)
        or _wrong_service(wanted)
        or _wrong_download(wanted)
        or _wrong_agent(wanted, agent)
        or _no_token(wanted, folder)
        or _no_server(wanted, key)
    )


def _wrong_number(wanted):
    if not 0 < wanted["port"] < 65536:
        hint = "Leave it out to use the port of the role sshd."
        return [f"ngrok_port must be from 1 to 65535, not {wanted['port']}", hint, "bad-value"]
    if wanted["max_seconds"] < 0:
        problem = f"ngrok_max_seconds must not be negative, but is {wanted['max_seconds']}"
        return [problem, "Use 0 for no limit.", "bad-value"]
    return []


def _root_cas(wanted):
    return wanted["root_cas"] if wanted["root_cas"] in _NO_FILE else path_of(wanted, "root_cas")


def _wrong_service(wanted):
    for name in ("remote_addr", "server_addr"):
        if wanted[name] and not re.fullmatch(r"[\w.-]+:\d{1,5}", wanted[name]):
            return [f"ngrok_{name} must be a host and a port", "Write it like 1.tcp.eu.ngrok.io:12345.", "bad-value"]
    if wanted["region"] and not re.fullmatch(r"[a-z][a-z0-9-]*", wanted["region"]):
        problem = "ngrok_region must be the short name of one of ngrok's regions"
        return [problem, "Use eu, us, ap, au, sa, jp or in.", "bad-value"]
    if wanted["region"] and wanted["server_addr"]:
        problem = "ngrok_region and ngrok_server_addr both say where to connect to"
        return [problem, "Leave one of them out.", "given-twice"]
    path = _root_cas(wanted)
    if path not in _NO_FILE and not os.path.isfile(path):
        return [
            f"There is no file {path} on this machine, which ngrok_root_cas names",
            "Give the path of a PEM file of certificates, or host for those that the machine trusts.",
            "no-file",
        ]
    return []


def _wrong_download(wanted):
    if wanted["download_url"] and not re.fullmatch(r"https?://\S+\.(tgz|tar\.gz|zip)", wanted["download_url"]):
        problem = "ngrok_download_url must be the https URL of a .tgz or .zip file"
        return [problem, "Leave it out to download from ngrok.", "bad-url"]
    if wanted["sha256"] and not re.fullmatch(r"[0-9A-Fa-f]{64}", wanted["sha256"]):
        hint = "Use the output of sha256sum for the downloaded file."
        return ["ngrok_sha256 must have 64 hexadecimal digits", hint, "bad-value"]
    if wanted["download_url"] and not is_safe(wanted["download_url"], wanted["sha256"]):
        return [
            "ngrok_download_url is not encrypted, so the program could be replaced on its way",
            "Use an https URL, or set ngrok_sha256 as well.",
            "not-encrypted",
        ]
    return []


def is_safe(url, sha256):
    """Return whether a download cannot be replaced on its way: its hash is known, or the connection is safe."""
    return bool(sha256) or bool(re.match(r"https://|http://(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?/", url))


def _wrong_agent(wanted, agent):
    if not wanted["agent_path"]:
        return []
    if not agent["version"]:
        return [
            f"{agent['path']} is not an ngrok agent that runs here",
            "Set ngrok_agent_path to another one, or leave it out to download one.",
            "agent-does-not-run",
        ]
    if numbers(agent["version"]) < OLDEST:
        return [
            f"The agent {agent['path']} is too old: version {agent['version']}",
            "Set ngrok_agent_path to one of version 3, or leave it out to download the newest.",
            "agent-too-old",
        ]
    return []


def _no_token(wanted, folder):
    if wanted["token_mark"] or wanted.get("can_ask") or kept_token(folder):
        return []
    hint = f"Set ngrok_authtoken; you find it at {_TOKEN_URL}"
    return ["ngrok needs a token, and none is saved on this machine", hint, "no-token"]


def _no_server(wanted, key):
    if key or wanted.get("server_comes"):
        return []
    port = wanted["port"]
    if not shutil.which("ssh-keyscan") and answers("127.0.0.1", port, "SSH-2.0-"):
        problem = "ssh-keyscan, which is needed to recognise the SSH server, is not installed"
        return [problem, "Install the package openssh-client.", "no-ssh-client"]
    return [
        f"No SSH server answers at port {port} of this machine",
        "Run the role sshd first, or choose another port: ngrok_port.",
        "no-ssh-server",
    ]


def has_token():
    """Return whether a token is saved on this machine."""
    return bool(kept_token(os.path.join(state_folder(), "ngrok")))


def now(role, report):
    """Return whether the endpoint is open now and leads here, as `look.now` describes."""
    state = read_state(role)
    folder = os.path.join(state_folder(), "ngrok")
    pid_file = os.path.join(folder, "ngrok.pid")
    if not os.path.exists(pid_file):
        return {"state": "stopped", "works": False}
    if not report.get("url") or not {*OPTIONS, "token_mark"} <= set(state.get("wanted", {})):
        return {"state": "started", "works": False, "problem": "its notes are lost"}
    key = offered_key("127.0.0.1", state["wanted"]["port"], seconds=2)
    problem = ngrok_drift(state["wanted"], state, folder, running(pid_file), key)
    return {"state": "started", "works": not problem, **({"problem": problem} if problem else {})}


def look_at(wanted, machine):
    """Return whether the endpoint is open and leads here, what has drifted, and what is needed to open it."""
    state = read_state("ngrok")
    folder = os.path.join(machine["state"], "ngrok")
    pid_file = os.path.join(folder, "ngrok.pid")
    result = {"folder": folder, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        there = os.path.lexists(folder)
        report = absent_report("ngrok", wanted, folder=folder if there else "")
        return dict(result, converged=not state and not there, report=report)
    if wanted["state"] == "stopped":
        # The pid file of an agent that has ended goes too: then it counts as stopped, not lost.
        return dict(result, converged=not os.path.exists(pid_file), report=dict(result["report"], state="stopped"))
    wanted = dict(wanted, port=server_port(wanted["port"]))
    result["port"] = wanted["port"]
    key = offered_key("127.0.0.1", wanted["port"], seconds=2)
    drift = ngrok_drift(wanted, state, folder, running(pid_file), key)
    if not drift:
        return dict(result, converged=True)
    agent = find_agent(wanted, folder)
    problem = ngrok_problem(wanted, folder, agent, key)
    return dict(result, converged=False, drift=drift, agent=agent, problem=problem, root_cas=_root_cas(wanted))
