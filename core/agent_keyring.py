"""The agent's counterpart on Windows: the platform's keyring (Credential Manager) keeps the secrets until they expire.

The keyring package is imported where it is used: only Windows installs it.
"""

from __future__ import annotations

import base64
import time
from typing import Protocol

import msgspec

from core.errors import AgentRefused

SERVICE = "safelight"


class _Kept(msgspec.Struct):
    """What the keyring holds, as JSON text: expiry in UTC seconds, secrets in Base64."""

    expires_at: int
    secrets: str


class Keyring(Protocol):
    """The three calls of the keyring package that are used."""

    def get_password(self, service_name: str, username: str) -> str | None:
        """The text kept under both names, or None."""

    def set_password(self, service_name: str, username: str, password: str) -> None:
        """Keep the text under both names."""

    def delete_password(self, service_name: str, username: str) -> None:
        """Forget it; an error if there is none."""


def _keyring() -> Keyring:
    try:
        import keyring
    except ImportError as error:
        raise AgentRefused(
            "this installation has no keyring to unlock the library with",
            hint="install the package keyring, or give the passphrase with each command",
        ) from error
    backend: Keyring = keyring.get_keyring()
    return backend


def store(name: str, secrets: bytes, expires_at: int, keyring: Keyring | None = None) -> None:
    """Keep `secrets` under `name` until `expires_at` (UTC seconds)."""
    kept = _Kept(expires_at=expires_at, secrets=base64.b64encode(secrets).decode())
    (keyring or _keyring()).set_password(SERVICE, name, msgspec.json.encode(kept).decode())


def load(name: str, keyring: Keyring | None = None) -> bytes | None:
    """The secrets kept under `name`, or None when there are none or their time is up (they are then forgotten)."""
    kept = _load(name, keyring or _keyring())
    if kept is None:
        return None
    try:
        return base64.b64decode(kept.secrets, validate=True)
    except ValueError:  # binascii's own error is one, too
        return None


def expiry(name: str, keyring: Keyring | None = None) -> int | None:
    """When the secrets under `name` expire (UTC seconds), or None when there are none."""
    kept = _load(name, keyring or _keyring())
    return None if kept is None else kept.expires_at


def forget(name: str, keyring: Keyring | None = None) -> bool:
    """Remove what is kept under `name`; returns whether something valid was."""
    backend = keyring or _keyring()
    kept = _load(name, backend)
    if kept is None:
        return False
    backend.delete_password(SERVICE, name)
    return True


def _load(name: str, keyring: Keyring) -> _Kept | None:
    text = keyring.get_password(SERVICE, name)
    if text is None:
        return None
    try:
        kept = msgspec.json.decode(text, type=_Kept)
    except msgspec.DecodeError:
        return None
    if kept.expires_at <= time.time():
        keyring.delete_password(SERVICE, name)
        return None
    return kept
