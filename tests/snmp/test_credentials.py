"""What a session authenticates with."""

from pathlib import Path

import pytest

from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community, SecretMissing, UsmUser, reveal_community, reveal_credentials


def target(**keywords: object) -> TargetConfig:
    return TargetConfig.model_validate({"name": "d", "address": "192.0.2.1", **keywords})


def test_the_community_comes_from_its_reference(tmp_path: Path) -> None:
    """Unset it is public; otherwise what the file holds, without its newline."""
    assert reveal_credentials(target()) == Community("public")
    (tmp_path / "c").write_text("hidden\n")
    assert reveal_credentials(target(community=f"file:{tmp_path / 'c'}")) == Community("hidden")


def test_a_user_brings_both_passwords(tmp_path: Path) -> None:
    """Protocols as written, passwords from where they lie."""
    (tmp_path / "a").write_text("authpass1")
    (tmp_path / "p").write_text("privpass1")
    user = {"security_name": "u", "auth_password": f"file:{tmp_path / 'a'}", "priv_password": f"file:{tmp_path / 'p'}"}
    assert reveal_credentials(target(version="3", user=user)) == UsmUser("u", "sha256", "aes128", "authpass1", "privpass1")
    plain = {"security_name": "u", "auth_protocol": "none", "priv_protocol": "none"}
    assert reveal_credentials(target(version="3", user=plain)) == UsmUser("u", "none", "none", None, None)


def test_a_secret_that_is_not_there_is_its_own_error() -> None:
    """It may be provisioned later, and concerns this device alone."""
    with pytest.raises(SecretMissing, match="file:/nonexistent"):
        reveal_credentials(target(community="file:/nonexistent"))


def test_a_community_is_a_text_or_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line both may be written."""
    monkeypatch.setenv("NETMOTE_TEST_COMMUNITY", "hidden")
    assert reveal_community("env:NETMOTE_TEST_COMMUNITY") == "hidden"
    assert reveal_community("public") == "public"
    assert reveal_community("with:colon") == "with:colon"


def test_secrets_never_print() -> None:
    """Neither community nor passwords stand in what logs and tracebacks show."""
    shown = repr(Community("hidden")) + repr(UsmUser("u", "sha256", "aes128", "hidden", "hidden"))
    assert "hidden" not in shown
