"""What is made of ngrok's refusals: the texts are those of the service's documentation, and of the agents' logs."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.module_utils.provision import ngrok_errors as errors

TOKEN = "2Nq9771bPxe8ctg7LKr_2ClH7Y15Zqe4bWLWF9p"
YOUR_TOKEN = f"Your authtoken: {TOKEN}"
DASHBOARD = "https://dashboard.ngrok.com/get-started/your-authtoken"
# What the service says, and what a person needs of what to do: an option, a page, a setting.
TEXTS = {
    105: (f"The authtoken you specified does not look like a proper ngrok authtoken.\n{YOUR_TOKEN}\n{DASHBOARD}",
          "ngrok_authtoken"),
    106: (f"The authtoken you specified is an ngrok v1 authtoken, but you're using ngrok v2.\n{YOUR_TOKEN}",
          "ngrok_authtoken"),
    107: (f"The authtoken you specified is properly formed, but it is invalid.\n{YOUR_TOKEN}\nThis usually happens "
          "when:\n    - You reset your authtoken", "ngrok_authtoken"),
    108: ("Your account is limited to 1 simultaneous ngrok agent sessions.\nRun multiple endpoints at the same time "
          "from a single agent", "/agents"),
    116: ("Your IP 192.0.2.7 does not match the IP ACL policy specified for your credentials.", "IP policy"),
    120: ('Your ngrok-agent version "2.3.41" is no longer supported.', "ngrok_agent_path"),
    121: ('Your ngrok-agent version "2.3.41" is too old. The minimum supported agent version for your account is '
          '"3.7.0".', "ngrok_agent_path"),
    123: ('The account "Ada" may not start an ngrok agent session until the admin\'s email address is verified.',
          "/user/settings"),
    302: ("TCP tunnels are only available to registered users.", "ngrok_authtoken"),
    324: ("Your account may not run more than 3 endpoints over a single ngrok agent session.", "/endpoints"),
    334: ("The endpoint tcp://1.tcp.ngrok.io:12345 is already online. Either\n1. stop your existing endpoint first, or",
          "ngrok_remote_addr"),
    725: ("This ngrok account has reached its network bandwidth limit for the month.", "/billing"),
    4018: ("This ngrok session is not authenticated. ngrok requires an account and a valid credential to start a "
           "session.", "ngrok_authtoken"),
    8012: ("Traffic successfully made it to the ngrok agent, but the agent failed to establish a connection to the "
           "upstream web service at 127.0.0.1:2222.", "ngrok_port"),
    8013: ("You must add a credit or debit card before you can use TCP endpoints on a free account.",
           "#id-verification"),
    9009: ("Running the agent with an http/s proxy is a Pay-as-you-go feature.", "reverse_ssh"),
    9040: ("We do not allow agents to connect to ngrok from your IP address (192.0.2.7).", "reverse_ssh"),
}  # fmt: skip


def in_log(text: str, code: int) -> str:
    """As an agent writes it to its log, and then to standard error."""
    escaped = f"{text}\r\n\r\nERR_NGROK_{code}\r\n".replace("\r", "\\r").replace("\n", "\\n")
    lines = "\n".join(f"ERROR:  {line}" for line in [*text.splitlines(), "", f"ERR_NGROK_{code}"])
    return (
        't=2026-11-23T15:32:58+0000 lvl=info msg="open config file" path=/x/ngrok.yml err=nil\n'
        f't=2026-11-23T15:32:58+0000 lvl=crit msg="command failed" err="{escaped}"\n{lines}\n'
    )


@pytest.mark.parametrize("code", TEXTS)
def test_each_refusal_is_a_sentence_and_what_to_do_with_the_link_and_without_the_token(code):
    text, way_out = TEXTS[code]
    message, hint, short = errors.explain(in_log(text, code), TOKEN)
    assert message.endswith(f"(ERR_NGROK_{code}).") and "\n" not in message
    assert way_out in hint and hint.endswith(f"https://ngrok.com/docs/errors/err_ngrok_{code}")
    assert TOKEN not in message + hint and short == f"ngrok-{code}"


def test_all_that_is_known_was_looked_at_here():
    assert set(errors.KNOWN) == set(TEXTS)


@pytest.mark.parametrize("form", ["log", "standard error"])
def test_an_unknown_refusal_is_told_in_the_services_own_words_without_the_token(form):
    text = f"Your planet is not served yet, bearer of {TOKEN}.\nMove."
    said = in_log(text, 98765) if form == "log" else f"{text}\r\n\r\nERR_NGROK_98765\r\n"
    message, hint, code = errors.explain(said, TOKEN)
    assert "Your planet is not served yet, bearer of *** (ERR_NGROK_98765)" in message
    assert "https://ngrok.com/docs/errors/err_ngrok_98765" in hint and code == "ngrok-98765"


@pytest.mark.parametrize(
    "error",
    [
        "dial tcp 127.0.0.1:9469: connect: connection refused",
        "dial tcp: lookup connect.ngrok-agent.com on 192.0.2.53:53: no such host",
        "dial tcp 192.0.2.1:443: i/o timeout",
        "failed to connect to ngrok.com: network is unreachable",
    ],
)
def test_a_service_that_cannot_be_reached_is_told_as_that(error):
    _message, hint, code = errors.explain(f't=1 lvl=eror msg="failed to reconnect session" err="{error}"\n', TOKEN)
    assert "443" in hint and code == "ngrok-unreachable"


@pytest.mark.parametrize(
    "error",
    [
        "x509: certificate signed by unknown authority",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "failed to connect: invalid peer certificate: UnknownIssuer",
    ],
)
def test_a_service_with_a_certificate_of_somebody_elses_is_told_as_that(error):
    _message, hint, code = errors.explain(f't=1 lvl=eror msg="failed to reconnect session" err="{error}"\n', TOKEN)
    assert "ngrok_root_cas" in hint and code == "ngrok-not-trusted"


def test_what_is_not_understood_is_told_with_the_agents_last_words():
    message, _, code = errors.explain(f"something\nCould not read {TOKEN}\n\n", TOKEN)
    assert message.endswith("Could not read ***") and code == "ngrok-failed"


def test_an_agent_that_said_nothing_is_told_as_that():
    message, hint, code = errors.explain("", TOKEN)
    assert (code, hint) == ("ngrok-failed", "") and message.endswith("endpoint.")


PIECES = st.sampled_from(
    ["ERR_NGROK_", "ERR_NGROK_108", "ERROR:", 'err="', "\\r\\n", TOKEN, "x509:", "i/o timeout", "\x1b[31m"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(PIECES, st.text(max_size=30), st.integers(0).map(str)), max_size=8).map("".join))
def test_whatever_an_agent_says_becomes_one_sentence_without_the_token(text):
    message, hint, code = errors.explain(text, TOKEN)
    assert message and message.isprintable() and TOKEN not in message + hint and re.fullmatch(r"ngrok-[a-z0-9-]+", code)
    assert len(message) < 400
