"""`library.toml`: the one file of a library that is in the clear.

It holds what is needed to ask for a passphrase: the format, the library's id, the key-derivation costs and the wrapped
secrets of this device. Two values watch over it. `checksum` (plain BLAKE2b-256) tells damage from a wrong passphrase
before any passphrase is asked for. `seal` (BLAKE2b-256 keyed by the device's own secrets) is checked after unlocking
and tells deliberate changes, which a checksum cannot.

A copy of a library becomes a device of its own without anybody typing a passphrase: the secrets of the new device, its
*successor*, are sealed under those that the passphrase unwraps. A file with a successor has format 2.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from core.errors import KdfRefused, LibraryFileDamaged, NotALibrary, UnknownFormat, WrongPassphrase
from core.private_files import replace_file, storage_errors
from crypto import errors as crypto_errors
from crypto.kdf import KdfParameters, derive_passphrase_key
from crypto.keys import DeviceSecrets, unwrap_secrets, wrap_secrets
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMAT = 1
FORMAT_WITH_SUCCESSORS = 2
_MAX_BYTES = 64 * 1024  # the file is under 4 KiB; what is larger was not written by us
_SUCCESSOR_PURPOSE = "successor"
_SEAL_PURPOSE = "library file"
_WRAPPING = b"safelight/1/library.toml"
_RESTORE = "Restore `library.toml` from a backup; without it the recovery phrase is the only way in."
# msgspec: "Object missing required field `salt` - at `$.kdf`", "Expected `int`, got `str` - at `$.kdf.opslimit`".
_MISSING = re.compile(r"missing required field `(\w+)`")
_AT = re.compile(r"at `\$\.([\w.]+)`")
# We write no key with a dot; reading one takes the square of its parts.
_LONG_KEY = re.compile(r"(?:\.[^.\n]*){100}")
_Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


@dataclass(frozen=True)
class LibraryFile:
    """The fields of `library.toml`."""

    library_id: bytes
    kdf: KdfParameters
    wrapped: bytes
    seal: bytes
    successors: tuple[bytes, ...] = ()

    @classmethod
    def make(cls, library_id: bytes, secrets: DeviceSecrets, passphrase: bytes, kdf: KdfParameters) -> LibraryFile:
        """Wrap `secrets` under `passphrase`; takes the time and memory that `kdf` says."""
        return cls(library_id, kdf, b"", b"").rewrapped(secrets, passphrase, kdf)

    def rewrapped(self, secrets: DeviceSecrets, passphrase: bytes, kdf: KdfParameters) -> LibraryFile:
        """Return the file with the same secrets under another passphrase, or other costs."""
        wrapped = wrap_secrets(secrets, derive_passphrase_key(passphrase, kdf), _WRAPPING)
        return replace(self, kdf=kdf, wrapped=wrapped).sealed_by(secrets)

    def with_successors(self, secrets: DeviceSecrets, successors: Sequence[DeviceSecrets]) -> LibraryFile:
        """Return the file with these successors of `secrets`, which the passphrase unwraps, the newest last."""
        key = secrets.storage_key(_SUCCESSOR_PURPOSE)
        sealed = tuple(seal(one.to_bytes(), key, _SUCCESSOR_PURPOSE, self.library_id) for one in successors)
        return replace(self, successors=sealed).sealed_by(secrets)

    def resolve(self, secrets: DeviceSecrets) -> list[DeviceSecrets]:
        """Return `secrets` and their successors, the newest last.

        The last one that is a member of the library is this device: a copy that was killed while it became a new
        device may have left one that is none. Raises `LibraryFileDamaged`.
        """
        self.check_seal(secrets)
        key = secrets.storage_key(_SUCCESSOR_PURPOSE)
        try:
            opened = [open_sealed(one, key, _SUCCESSOR_PURPOSE, self.library_id) for one in self.successors]
            return [secrets, *(DeviceSecrets.from_bytes(one) for one in opened)]
        except (crypto_errors.CryptoError, ValueError) as error:
            raise LibraryFileDamaged(
                "the secrets of a successor in library.toml cannot be read", hint=_RESTORE
            ) from error

    def unlock(self, passphrase: bytes) -> DeviceSecrets:
        """Return this device's secrets; raises `WrongPassphrase`, or `LibraryFileDamaged` if the file was changed."""
        key = derive_passphrase_key(passphrase, self.kdf)
        try:
            secrets = unwrap_secrets(self.wrapped, key, _WRAPPING)
        except crypto_errors.WrongPassphrase as error:
            raise WrongPassphrase(
                "the passphrase does not open this library", hint="Check it and try again."
            ) from error
        except crypto_errors.CryptoError as error:
            raise LibraryFileDamaged("the wrapped secrets in library.toml cannot be read", hint=_RESTORE) from error
        self.check_seal(secrets)
        return secrets

    def check_seal(self, secrets: DeviceSecrets) -> None:
        """Raise `LibraryFileDamaged` unless the file is as the holder of `secrets` wrote it."""
        if not hmac.compare_digest(self.seal, self.expected_seal(secrets)):
            raise LibraryFileDamaged(
                "library.toml was changed by someone who does not hold this device's keys, or is another library's",
                hint=_RESTORE,
            )

    def expected_seal(self, secrets: DeviceSecrets) -> bytes:
        """Return the seal that the file must carry."""
        return hashlib.blake2b(
            self._statement().encode(), digest_size=32, key=secrets.storage_key(_SEAL_PURPOSE)
        ).digest()

    def sealed_by(self, secrets: DeviceSecrets) -> LibraryFile:
        """Return the file with the seal of the device that holds `secrets`."""
        return replace(self, seal=self.expected_seal(secrets))

    def write(self, path: Path) -> None:
        """Put the file at `path`, durably and whole."""
        statement = self._statement()
        checksum = hashlib.blake2b(statement.encode() + self.seal, digest_size=32).hexdigest()
        text = (
            "# A Safelight library. Without this file the library opens with the recovery phrase only.\n\n"
            f'{statement}\n[check]\nseal = "{self.seal.hex()}"\nchecksum = "{checksum}"\n'
        )
        with storage_errors("library.toml"):
            replace_file(path, text.encode())

    @classmethod
    def read(cls, path: Path) -> LibraryFile:
        """Read the file at `path`.

        Raises `NotALibrary`, `UnknownFormat`, `LibraryFileDamaged`, and `KdfRefused` for costs outside the bounds
        (before anything is computed with them).
        """
        with storage_errors("library.toml"):
            try:
                with path.open("rb") as file:
                    data = file.read(_MAX_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                raise NotALibrary(
                    f"there is no library in {path.parent}", hint="Create one with `safelight init`, or name another."
                ) from None
        raw = _parse(data)
        try:
            salt = bytes.fromhex(raw.kdf.salt)
            library_id, wrapped = bytes.fromhex(raw.library_id), bytes.fromhex(raw.secrets.wrapped)
            stated_seal, checksum = bytes.fromhex(raw.check.seal), bytes.fromhex(raw.check.checksum)
            successors = tuple(bytes.fromhex(one) for one in raw.secrets.successors)
        except ValueError as error:
            raise LibraryFileDamaged("library.toml holds a value that is not hexadecimal", hint=_RESTORE) from error
        if raw.format != (FORMAT_WITH_SUCCESSORS if successors else FORMAT):
            raise LibraryFileDamaged(
                f"library.toml of format {raw.format} holds {len(successors)} successors", hint=_RESTORE
            )
        if raw.kdf.algorithm != "argon2id":
            raise KdfRefused("library.toml names an unknown way to derive keys", hint=_RESTORE)
        try:
            kdf = KdfParameters(opslimit=raw.kdf.opslimit, memlimit=raw.kdf.memlimit, salt=salt)
        except crypto_errors.CryptoError as error:
            raise KdfRefused(f"library.toml: {error}", hint=_RESTORE) from error
        file_fields = cls(library_id, kdf, wrapped, stated_seal, successors)
        expected = hashlib.blake2b(file_fields._statement().encode() + stated_seal, digest_size=32).digest()
        if checksum != expected:
            raise LibraryFileDamaged("library.toml was changed or damaged: its checksum does not hold", hint=_RESTORE)
        return file_fields

    def _statement(self) -> str:
        successors = ", ".join(f'"{one.hex()}"' for one in self.successors)
        return (
            f"format = {FORMAT_WITH_SUCCESSORS if successors else FORMAT}\n"
            f'library_id = "{self.library_id.hex()}"\n\n'
            "[kdf]\n"
            'algorithm = "argon2id"\n'
            f"opslimit = {self.kdf.opslimit}\n"
            f"memlimit = {self.kdf.memlimit}\n"
            f'salt = "{self.kdf.salt.hex()}"\n\n'
            "[secrets]\n"
            f'wrapped = "{self.wrapped.hex()}"\n' + (f"successors = [{successors}]\n" if successors else "")
        )


class _Kdf(msgspec.Struct):
    algorithm: str
    opslimit: _Number
    memlimit: _Number
    salt: str


class _Secrets(msgspec.Struct):
    wrapped: str
    successors: list[str] = []


class _Check(msgspec.Struct):
    seal: str
    checksum: str


class _Fields(msgspec.Struct):
    format: _Number
    library_id: str
    kdf: _Kdf
    secrets: _Secrets
    check: _Check


def _parse(data: bytes) -> _Fields:
    if len(data) > _MAX_BYTES:
        raise LibraryFileDamaged("library.toml is far larger than it can be", hint=_RESTORE)
    try:
        text = data.decode()
        if _LONG_KEY.search(text):
            raise LibraryFileDamaged("library.toml has a line that it never has", hint=_RESTORE)
        table: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise LibraryFileDamaged("library.toml cannot be parsed", hint=_RESTORE) from error
    version = table.get("format")
    if isinstance(version, int) and version.bit_length() < 64 and version not in {FORMAT, FORMAT_WITH_SUCCESSORS}:  # noqa: PLR2004
        raise UnknownFormat(
            f"library.toml has format {version}", hint="Update safelight: a newer version wrote this library."
        )
    try:
        return msgspec.convert(table, _Fields)
    except msgspec.ValidationError as error:
        raise LibraryFileDamaged(f"library.toml: {_field_problem(error)}", hint=_RESTORE) from error


def _field_problem(error: msgspec.ValidationError) -> str:
    """Return which field is missing or of another type, as the file's writer would name it."""
    at = _AT.search(str(error))
    missing = _MISSING.search(str(error))
    path = [*(at[1].split(".") if at else []), *([missing[1]] if missing else [])]
    return f"the field {'.'.join(path)} {'is missing' if missing else 'is not of the right type'}"
