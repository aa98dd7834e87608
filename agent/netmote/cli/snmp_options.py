"""Options with which a command is told how to speak SNMP with a device, and the user of SNMPv3 they make. The same for `poll` and `discover`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Version(StrEnum):
    """SNMP versions netmote speaks."""

    V1 = "1"
    V2C = "2c"
    V3 = "3"


class AuthProtocol(StrEnum):
    """Authentication protocols of USM, as the configuration names them."""

    NONE = "none"
    MD5 = "md5"
    SHA = "sha"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class PrivProtocol(StrEnum):
    """Privacy protocols of USM, as the configuration names them."""

    NONE = "none"
    DES = "des"
    AES128 = "aes128"
    AES192 = "aes192"
    AES256 = "aes256"
    AES192C = "aes192c"
    AES256C = "aes256c"


V3_PANEL = "SNMPv3"

VersionOption = Annotated[Version, typer.Option("--version", help="SNMP version. A --user implies 3.")]
UserOption = Annotated[str | None, typer.Option("--user", help="securityName.", rich_help_panel=V3_PANEL, show_default=False)]
AuthProtocolOption = Annotated[
    AuthProtocol | None,
    typer.Option(
        "--auth-protocol", help="Unset: sha256 with a password file, else none.", rich_help_panel=V3_PANEL, show_default=False
    ),
]
AuthPasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--auth-password-file", help="File holding the authentication password.", rich_help_panel=V3_PANEL, show_default=False
    ),
]
PrivProtocolOption = Annotated[
    PrivProtocol | None,
    typer.Option(
        "--priv-protocol", help="Unset: aes128 with a password file, else none.", rich_help_panel=V3_PANEL, show_default=False
    ),
]
PrivPasswordFileOption = Annotated[
    Path | None,
    typer.Option("--priv-password-file", help="File holding the privacy password.", rich_help_panel=V3_PANEL, show_default=False),
]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, max=30.0, help="Seconds one request waits for its answer.")]
RetriesOption = Annotated[int, typer.Option("--retries", min=0, max=5, help="How often a request is sent again.")]


def usm_settings(
    user: str,
    auth_protocol: AuthProtocol | None,
    auth_password_file: Path | None,
    priv_protocol: PrivProtocol | None,
    priv_password_file: Path | None,
) -> dict[str, str]:
    """The keys of a `user` as the configuration writes them; those that are not given are left out."""
    settings = {
        "security_name": user,
        "auth_protocol": str(auth_protocol or (AuthProtocol.SHA256 if auth_password_file else AuthProtocol.NONE)),
        "priv_protocol": str(priv_protocol or (PrivProtocol.AES128 if priv_password_file else PrivProtocol.NONE)),
    }
    for key, file in (("auth_password", auth_password_file), ("priv_password", priv_password_file)):
        if file is not None:
            settings[key] = f"file:{file}"
    return settings
