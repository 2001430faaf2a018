"""Addresses of relays: from what a user types to the one form that is stored, connected to and signed for."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from sync_relay import wire

MAX_URL_CHARACTERS: Final = 400
MAX_ORIGIN_CHARACTERS: Final = 255

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PARTS: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)?", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PATH: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_FORM: Final = "A relay's address looks like https://relay.example, or http://127.0.0.1:7465 on this machine."


class InvalidUrl(ValueError):
    """An address that no relay can have, or that this program does not connect to. `hint` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep what is wrong, and what to do about it."""
        super().__init__(message)
        self.hint = hint or _FORM


@dataclass(frozen=True)
class Address:
    """One relay's address: where to connect, and what a sign-in is signed for.

    `host` is ASCII in lower case, an IPv6 address without its brackets; `prefix` is the path before `/v1`, if any.
    """

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def origin(self) -> str:
        """What a sign-in names: `https://host[:port]`, without the scheme's own port and without a path."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{shown}" + ("" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}")

    @property
    def url(self) -> str:
        """The whole address, without a slash at its end."""
        return self.origin + self.prefix

    @property
    def events(self) -> str:
        """Where the WebSocket is."""
        return f"ws{self.url.removeprefix('http')}{wire.BASE}/events"

    @property
    def is_loopback(self) -> bool:
        """Whether the relay is on this machine."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether a host, in its normal form, is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def relay_url(text: str) -> str:
    """Return the normal form of an address as a user typed it; raise `InvalidUrl`.

    Without a scheme it is https, and http on this machine. Names in other scripts become their ASCII form. A path
    before the relay's own is kept (`https://host/relay`).
    """
    return read_address(text).url


def read_address(text: str) -> Address:  # noqa: C901 (one check after the other)
    """Return an address taken apart and in its normal form; raise `InvalidUrl`."""
    text = text.strip()
    if len(text) > MAX_URL_CHARACTERS:
        raise InvalidUrl(f"a relay's address has at most {MAX_URL_CHARACTERS} characters")
    if any(not character.isprintable() or character in " \\" for character in text):
        raise InvalidUrl("a relay's address has no spaces, backslashes or control characters in it")
    if "?" in text or "#" in text:
        raise InvalidUrl("a relay's address has no query and no fragment (`?`, `#`)")
    given = text if "://" in text else f"https://{text}"
    found = _PARTS.fullmatch(given)
    if found is None:
        raise InvalidUrl("this is not the address of a relay")
    scheme, authority, path = found["scheme"].lower(), found["authority"], found["path"] or ""
    if scheme not in _DEFAULT_PORTS:
        raise InvalidUrl("a relay is reached by https, or by http on this machine")
    if "@" in authority:
        raise InvalidUrl(
            "a relay's address has no user name or password in it",
            hint="Devices sign in with their own keys. Leave out what stands before the `@`.",
        )
    host_text, port_text = _split(authority)
    host = _host(host_text)
    if "://" not in text and is_loopback(host):
        scheme = "http"
    if scheme == "http" and not is_loopback(host):
        raise InvalidUrl(
            "plain http is for relays on this machine only",
            hint="Use https. A relay on another machine needs a certificate, or a proxy before it that has one.",
        )
    path = path.rstrip("/")
    if not _PATH.fullmatch(path):
        raise InvalidUrl("the path of a relay's address has only letters, digits and `-._~` between its slashes")
    address = Address(scheme, host, _port(port_text, scheme), path)
    if len(address.origin) > MAX_ORIGIN_CHARACTERS:
        raise InvalidUrl(f"the host of a relay's address has at most about {MAX_ORIGIN_CHARACTERS} characters")
    return address


def _split(authority: str) -> tuple[str, str | None]:
    """Return host and port as they were typed; an IPv6 address keeps its brackets."""
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidUrl("an IPv6 address stands in square brackets: https://[2001:db8::1]:7465")
        return host + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    if ":" in port:
        raise InvalidUrl("an IPv6 address stands in square brackets: https://[2001:db8::1]:7465")
    return host, port if colon else None


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            address = ipaddress.IPv6Address(text[1:-1])
        except ValueError:
            raise InvalidUrl("this is not an IPv6 address") from None
        if address.scope_id is not None:
            raise InvalidUrl("a relay's address has no interface (`%`) in it")
        return address.compressed
    host = text.removesuffix(".")
    if not host.isascii():
        host = _ascii(host)
    host = host.lower()
    labels = host.split(".")
    if labels[-1].isdecimal() or labels[-1].startswith("0x"):
        # Everything that looks like a number is one, written in one way: 127.1 and 0x7f000001 are refused.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise InvalidUrl("this is not an IPv4 address: four numbers from 0 to 255") from None
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidUrl("this is not the name of a host")
    return host


def _ascii(host: str) -> str:
    """Return a name in another script as DNS has it."""
    import httpx2

    try:
        return httpx2.URL(f"https://{host}").raw_host.decode()
    except (httpx2.InvalidURL, UnicodeError):
        raise InvalidUrl("this is not the name of a host") from None


def _port(text: str | None, scheme: str) -> int:
    if text is None:
        return _DEFAULT_PORTS[scheme]
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 0xFFFF:  # noqa: PLR2004 (of TCP)
        raise InvalidUrl("a port is a number from 1 to 65535")
    return int(text)
