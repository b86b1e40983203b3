"""The errors of ngrok's service and agent, each as a sentence and what to do."""

# The codes are those of https://ngrok.com/docs/errors; the service's own texts repeat the token.

from __future__ import annotations

import re

_DASHBOARD = "https://dashboard.ngrok.com"
_TOKEN = f"Copy the token from {_DASHBOARD}/get-started/your-authtoken into ngrok_authtoken."
_NEWER = (
    "Set ngrok_agent_path to a newer agent, or leave it out to download the newest. An agent downloaded earlier is "
    "removed by ngrok_state=absent."
)

# By code: what is wrong, and what to do.
KNOWN = {
    105: ("The token does not look like an ngrok authtoken", _TOKEN),
    106: ("The token is for version 1 of ngrok, which is no longer supported", _TOKEN),
    107: ("ngrok does not accept the token: it was reset, revoked or copied incorrectly", _TOKEN),
    108: (
        "Your ngrok account is already running as many agents as its plan allows",
        f"Stop one at {_DASHBOARD}/agents; it may belong to an earlier notebook.",
    ),
    116: (
        "The token may not be used from this machine's IP address",
        "Change the token's IP policy in ngrok's dashboard, or use another token.",
    ),
    120: ("The agent is too old for ngrok's service", _NEWER),
    121: ("The agent is too old for ngrok's service", _NEWER),
    123: (
        "The e-mail address of your ngrok account has not been confirmed",
        f"Confirm it at {_DASHBOARD}/user/settings.",
    ),
    302: ("ngrok opens TCP endpoints for registered users only", _TOKEN),
    324: ("Your ngrok account has too many open endpoints", f"Close one at {_DASHBOARD}/endpoints."),
    334: (
        "The address is in use by another agent",
        f"Stop it at {_DASHBOARD}/endpoints, or change ngrok_remote_addr or leave it out.",
    ),
    725: (
        "Your ngrok account has used up its transfer limit for this month",
        f"See {_DASHBOARD}/billing, and transfer large files another way, such as Google Drive.",
    ),
    4018: ("ngrok received no valid token", _TOKEN),
    8012: (
        "ngrok's agent runs, but cannot reach this machine's SSH server",
        "Check that the SSH server is running, and at the port in ngrok_port.",
    ),
    8013: (
        "ngrok opens TCP endpoints for free accounts only after you add a payment card, which is not charged",
        f"Add one at {_DASHBOARD}/settings#id-verification, or use a server of your own (role reverse_ssh).",
    ),
    9009: (
        "ngrok accepts agents behind an HTTP proxy for paid accounts only",
        "Connect this machine to ngrok without a proxy, or use a server of your own (role reverse_ssh).",
    ),
    9040: (
        "ngrok blocks this machine's IP address: a country under sanctions, or an anonymising proxy",
        "Use a server of your own (role reverse_ssh).",
    ),
}
# The codes of tokens that will never be accepted.
BAD_TOKEN = (105, 106, 107, 4018)

_UNKNOWN_AUTHORITY = re.compile(r"x509:|unknown authority|UnknownIssuer|invalid peer certificate|failed to verify cert")
_NO_NETWORK = re.compile(
    r"connection refused|no such host|server misbehaving|network is unreachable|no route to host|i/o timeout"
    r"|timed? ?out|failed to lookup|name resolution|os error|lookup address", re.I
)  # fmt: skip


def code_in(text):
    """Return the number of the last ERR_NGROK code in a text, 0 if there is none."""
    found = re.findall(r"ERR_NGROK_([0-9]{1,6})", text)
    return int(found[-1]) if found else 0


def distrusts(text):
    """Return whether the agent reports that it does not trust the service's certificate."""
    return bool(_UNKNOWN_AUTHORITY.search(text))


def finds_nobody(text):
    """Return whether the agent reports that it cannot reach the service."""
    return bool(_NO_NETWORK.search(text))


def redacted(text, token):
    """Return a text without the token."""
    return text.replace(token, "***") if token else text


def explain(text, token):
    """Return what is wrong, what to do and a code, from the agent's output before it had an address."""
    code = code_in(text)
    if code:
        link = f"https://ngrok.com/docs/errors/err_ngrok_{code}"
        problem, way_out = KNOWN.get(code) or (f"ngrok refused: {_own_words(redacted(text, token))}", "")
        return f"{problem} (ERR_NGROK_{code}).", f"{way_out} More: {link}".strip(), f"ngrok-{code}"
    if distrusts(text):
        return (
            "The agent does not trust the certificate of ngrok's service.",
            "Something intercepts the connection; or, for a service of your own, set ngrok_root_cas to its authority.",
            "ngrok-not-trusted",
        )
    if finds_nobody(text):
        return (
            "ngrok's service cannot be reached from this machine.",
            "Allow outgoing connections to port 443 of connect.ngrok-agent.com, without a proxy.",
            "ngrok-unreachable",
        )
    last = [_plain(line) for line in redacted(text, token).splitlines() if _plain(line)][-1:]
    words = f" Its last message: {last[0][:200]}" if last else ""
    return f"ngrok's agent did not open an endpoint.{words}", "", "ngrok-failed"


def _own_words(text):
    """Return the first line of the service's message with its last code."""
    before = text[: text.rindex("ERR_NGROK_")]
    # In the log it is quoted, with escaped line ends; on standard error it is plain.
    said = before.rpartition('err="')[2].replace("\\r", "\r").replace("\\n", "\n")
    lines = [_plain(_plain(line).removeprefix("ERROR:")) for line in said.splitlines()]
    return (next((line for line in lines if line), "") or "no reason given")[:200].rstrip(".")


def _plain(line):
    """Return a line without control characters and surrounding blanks."""
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()
