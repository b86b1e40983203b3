"""Keys as ssh-keygen makes them, and whatever else is given for keys: there is one, or it is refused."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.module_utils.provision.look import keys as keys

from ..unit.plugins.module_utils.look.public_keys import KEY, OTHER, RSA

NAME = "sshd_authorized_keys"


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_ssh_keygen_makes_is_a_key(tmp_path, kind):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", "key"], cwd=tmp_path, check=True)
    assert keys.authorized_keys("key.pub", str(tmp_path)) == [(tmp_path / "key.pub").read_text().strip()]
    with pytest.raises(keys.Wrong) as refused:
        keys.authorized_keys("key", str(tmp_path))
    assert refused.value.args[-1] == "private-key"
    whole = (tmp_path / "key").read_text()
    (tmp_path / "dos").write_bytes(whole.strip().replace("\n", "\r\n").encode())
    assert keys.private_key("key", str(tmp_path), "x") == keys.private_key("dos", str(tmp_path), "x") == whole


PASSPHRASE = ["ssh-keygen", "-q", "-t", "rsa", "-N", "secret", "-f", "key"]


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
def test_a_private_key_with_a_passphrase_is_known_before_anything_is_begun(tmp_path, form):
    subprocess.run([*PASSPHRASE, "-m", form], cwd=tmp_path, check=True)
    with pytest.raises(keys.Wrong) as refused:
        keys.private_key("key", str(tmp_path), "reverse_ssh_identity")
    assert refused.value.args[-1] == "key-passphrase"


WORDS = st.one_of(
    st.sampled_from(
        [
            KEY,
            OTHER,
            RSA,
            KEY[:40],
            "ssh-ed25519",
            "#",
            '"',
            "\\",
            'from="',
            "restrict,",
            "\r",
            "\n",
            "\t",
            " ",
            "\0",
            "\ufeff",
            "cert-authority ",
            "-----BEGIN",
            "PRIVATE KEY",
        ]
    ),
    st.text(max_size=8),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS, max_size=8).map("".join))
def test_of_any_text_only_whole_keys_are_taken_and_never_none(text):
    try:
        lines = keys.key_lines(text, NAME, "its text")
    except keys.Wrong as refused:
        message, hint, code = refused.args
        assert message and hint and code and "\n" not in message
        return
    assert lines
    for line in lines:
        assert any(f" {key.split()[1]}" in line for key in (KEY, OTHER, RSA)) and "\n" not in line and "\0" not in line
        assert keys.opens(line, []) in (True, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_whatever_is_given_for_keys_there_is_one_or_it_is_refused(given):
    if given == []:
        return
    try:
        assert keys.authorized_keys(given, "/nowhere")
    except keys.Wrong as refused:
        assert len(refused.args) == 3
