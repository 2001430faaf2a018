"""Fetching a pack's files: only where the user said so, and only the very bytes that were pinned."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from ml.errors import DownloadFailed

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4 << 30
"""Largest file fetched."""

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0
"""Longest silence accepted from a server, seconds."""

Progress = Callable[[int, int | None], object]
"""Called with the bytes had so far and their total, if the server says it."""


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to addresses that would have been accepted in the first place."""

    def redirect_request(  # the signature is urllib's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str) -> None:
    """Raise DownloadFailed unless ``url`` is https, or http to this machine itself."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
        _ = parts.port  # parsed only when asked for
    except ValueError as cause:
        raise DownloadFailed(f"{url!r} is not an address") from cause
    if not host or not url.isprintable() or any(character.isspace() for character in url):
        raise DownloadFailed(f"{url!r} is not an address", hint="An address looks like https://example.org/pack.toml.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise DownloadFailed(
            f"{url}: packs are fetched over https only",
            hint="Plain http is accepted only from this machine (127.0.0.1, ::1, localhost).",
        )


def fetch(url: str, target: Path, sha256: str, *, limit: int = MAX_BYTES, progress: Progress | None = None) -> None:
    """Write what is at ``url`` to the new file ``target``, if its SHA-256 is ``sha256`` (lower-case hex).

    On any failure the file is removed and DownloadFailed raised. At most ``limit`` bytes are taken.
    """
    check_url(url)
    opener = urllib.request.build_opener(_CheckedRedirects())
    # identity: the pinned digest is that of the file, not of its compressed form.
    request = urllib.request.Request(  # noqa: S310  # the scheme is checked above
        url, headers={"User-Agent": "safelight", "Accept-Encoding": "identity"}
    )
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response, target.open("xb") as stream:
            _copy(response, stream, url, sha256=sha256, limit=limit, progress=progress)
    except urllib.error.HTTPError as cause:
        target.unlink(missing_ok=True)
        raise DownloadFailed(f"{url}: the server answered {cause.code} {cause.reason}") from cause
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as cause:
        target.unlink(missing_ok=True)
        reason = getattr(cause, "reason", None) or str(cause) or type(cause).__name__
        raise DownloadFailed(f"{url}: {reason}", hint="Check the address and the network, and try again.") from cause
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy(
    response: http.client.HTTPResponse,
    stream: IO[bytes],
    url: str,
    *,
    sha256: str,
    limit: int,
    progress: Progress | None,
) -> None:
    declared = response.headers.get("Content-Length")
    total = int(declared) if declared is not None and declared.isdecimal() else None
    digest = hashlib.sha256()
    had = 0
    while chunk := response.read(_CHUNK):
        had += len(chunk)
        if had > limit:
            raise DownloadFailed(f"{url}: larger than {limit >> 20} MiB")
        digest.update(chunk)
        stream.write(chunk)
        if progress is not None:
            progress(had, total)
    if total is not None and had < total:
        raise DownloadFailed(f"{url}: cut off after {had} of {total} bytes", hint="Try again.")
    if digest.hexdigest() != sha256:
        raise DownloadFailed(
            f"{url}: the file's SHA-256 is {digest.hexdigest()}, not {sha256} as pinned",
            hint="It is another version, or not what it claims to be. Nothing was installed.",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
