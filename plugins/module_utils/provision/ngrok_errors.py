"""What ngrok's service and its agent say when they refuse, as a sentence and what to do."""

# The service's codes are those of https://ngrok.com/docs/errors; its own texts repeat the token.

from __future__ import annotations

import re

_DASHBOARD = "https://dashboard.ngrok.com"
_TOKEN = f"Copy the token from {_DASHBOARD}/get-started/your-authtoken into ngrok_authtoken."
_NEWER = (
    "Name a newer agent (ngrok_agent_path), or none: then the newest is downloaded. One that was downloaded before is "
    "removed with ngrok_state=absent."
)

# By the code: what was wrong, and what to do.
KNOWN = {
    105: ("The token does not look like one of ngrok's", _TOKEN),
    106: ("The token is one of ngrok's first version, which is no longer served", _TOKEN),
    107: ("The token looks right, but ngrok does not accept it: it was reset, revoked or copied wrongly", _TOKEN),
    108: (
        "The account has as many agents running as its plan allows",
        f"Stop one at {_DASHBOARD}/agents: it may be that of an earlier notebook.",
    ),
    116: (
        "The token may not be used from this machine's address",
        "Change the address rule (IP policy) of the token in ngrok's dashboard, or use another token.",
    ),
    120: ("The agent is too old for ngrok's service", _NEWER),
    121: ("The agent is too old for ngrok's service", _NEWER),
    123: (
        "The e-mail address of the ngrok account has not been confirmed",
        f"Confirm it at {_DASHBOARD}/user/settings.",
    ),
    302: ("ngrok opens TCP endpoints to registered users only", _TOKEN),
    324: ("The account may not have that many endpoints open", f"Close one at {_DASHBOARD}/endpoints."),
    334: (
        "The address is in use by another agent",
        f"Stop that one at {_DASHBOARD}/endpoints, or give another address, or none: ngrok_remote_addr.",
    ),
    725: (
        "The account has used up what it may transfer in this month",
        f"See {_DASHBOARD}/billing. Take large files another way, such as Google Drive.",
    ),
    4018: ("ngrok was given no token that it knows", _TOKEN),
    8012: (
        "ngrok's agent runs, but could not reach the SSH server of this machine",
        "See that the role sshd runs, and at the port that ngrok_port names.",
    ),
    8013: (
        "ngrok opens TCP endpoints for free accounts only after a payment card was added, which is not charged",
        f"Add one at {_DASHBOARD}/settings#id-verification, or use a server of your own (role reverse_ssh).",
    ),
    9009: (
        "ngrok lets agents behind an HTTP proxy in for paying accounts only",
        "Have this machine reach ngrok without a proxy, or use a server of your own (role reverse_ssh).",
    ),
    9040: (
        "ngrok does not serve this machine's address: a country under sanctions, or an anonymising proxy",
        "Use a server of your own (role reverse_ssh).",
    ),
}
# The codes with which a token is refused for good.
BAD_TOKEN = (105, 106, 107, 4018)

_UNKNOWN_AUTHORITY = re.compile(r"x509:|unknown authority|UnknownIssuer|invalid peer certificate|failed to verify cert")
_NO_NETWORK = re.compile(
    r"connection refused|no such host|server misbehaving|network is unreachable|no route to host|i/o timeout"
    r"|timed? ?out|failed to lookup|name resolution|os error|lookup address", re.I
)  # fmt: skip


def code_in(text):
    """Return the number of the last ERR_NGROK code in a text, 0 when there is none."""
    found = re.findall(r"ERR_NGROK_([0-9]{1,6})", text)
    return int(found[-1]) if found else 0


def distrusts(text):
    """Tell whether the agent says that it does not trust the service's certificate."""
    return bool(_UNKNOWN_AUTHORITY.search(text))


def finds_nobody(text):
    """Tell whether the agent says that it cannot reach the service."""
    return bool(_NO_NETWORK.search(text))


def redacted(text, token):
    """Return a text without the token."""
    return text.replace(token, "***") if token else text


def explain(text, token):
    """Return what is wrong, what to do and a code, after what the agent said before it had an address."""
    code = code_in(text)
    if code:
        link = f"https://ngrok.com/docs/errors/err_ngrok_{code}"
        problem, way_out = KNOWN.get(code) or (f"ngrok refused: {_own_words(redacted(text, token))}", "")
        return f"{problem} (ERR_NGROK_{code}).", f"{way_out} More: {link}".strip(), f"ngrok-{code}"
    if distrusts(text):
        return (
            "The agent does not trust the certificate of ngrok's service.",
            "Something intercepts what goes to ngrok; or name the authority of your own service: ngrok_root_cas.",
            "ngrok-not-trusted",
        )
    if finds_nobody(text):
        return (
            "ngrok's service cannot be reached from this machine.",
            "It needs outgoing connections to port 443 of connect.ngrok-agent.com, without a proxy.",
            "ngrok-unreachable",
        )
    last = [_plain(line) for line in redacted(text, token).splitlines() if _plain(line)][-1:]
    words = f" Its last words: {last[0][:200]}" if last else ""
    return f"ngrok's agent did not open an endpoint.{words}", "", "ngrok-failed"


def _own_words(text):
    """Return the first line of what the service has said with its last code."""
    before = text[: text.rindex("ERR_NGROK_")]
    # In the log it stands between quotes, with its line ends escaped; on standard error as it is.
    said = before.rpartition('err="')[2].replace("\\r", "\r").replace("\\n", "\n")
    lines = [_plain(_plain(line).removeprefix("ERROR:")) for line in said.splitlines()]
    return (next((line for line in lines if line), "") or "without a word")[:200].rstrip(".")


def _plain(line):
    """Return a line without what would steer a terminal, and without blanks at its ends."""
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()
