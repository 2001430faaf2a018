"""Fetching a pack's files: only where the user said so, and only the very bytes that were pinned."""

from __future__ import annotations

import hashlib
import http
import http.client
import ipaddress
import itertools
import os
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from ml.errors import DownloadFailed

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4 << 30
"""Largest file fetched."""

_CHUNK = 1 << 18
_ATTEMPTS = 20
"""How often a transfer is taken up again in one call; each has to bring something."""
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


def fetch(
    url: str,
    target: Path,
    sha256: str,
    *,
    limit: int = MAX_BYTES,
    progress: Progress | None = None,
    partial: Path | None = None,
) -> None:
    """Write what is at ``url`` to the new file ``target``, if its SHA-256 is ``sha256`` (lower-case hex).

    A transfer that is cut off goes on where it was, as long as every attempt brings something. What is there when it
    ends without success stays in ``partial``, where that is given, and a later call goes on from there. At most
    ``limit`` bytes are taken, and none are kept of a file that is another than the pinned one. Raises DownloadFailed;
    then there is no ``target``.
    """
    check_url(url)
    growing = partial if partial is not None else target.with_name(f"{target.name}.part")
    try:
        for attempt in itertools.count():
            resumed = _size(growing)
            try:
                _receive(url, growing, limit, progress)
                _compare(url, growing, sha256)
                break
            except _CutOff as cut:
                if attempt >= _ATTEMPTS or _size(growing) <= resumed:
                    raise DownloadFailed(str(cut), hint="Try again: it goes on from there.") from cut
            except _OtherFile:
                growing.unlink(missing_ok=True)
                # The beginning may be that of an older file at this address; from the start there is no such doubt.
                if not resumed:
                    raise
        growing.replace(target)
    except urllib.error.HTTPError as cause:
        raise DownloadFailed(f"{url}: the server answered {cause.code} {cause.reason}") from cause
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as cause:
        reason = getattr(cause, "reason", None) or str(cause) or type(cause).__name__
        raise DownloadFailed(f"{url}: {reason}", hint="Check the address and the network, and try again.") from cause
    finally:
        if partial is None:
            growing.unlink(missing_ok=True)


class _CutOff(Exception):
    """Fewer bytes came than were announced."""


class _OtherFile(DownloadFailed):
    """What came is not what was pinned, or more than was allowed."""


def _receive(url: str, growing: Path, limit: int, progress: Progress | None) -> None:
    """Fetch what is missing of ``growing``; raises _CutOff when the transfer ends early."""
    had = _size(growing)
    # identity: the pinned digest is that of the file, not of its compressed form.
    headers = {"User-Agent": "safelight", "Accept-Encoding": "identity"}
    if had:
        # No If-Range: the SHA-256 of the whole says in the end whether both parts are of one file.
        headers["Range"] = f"bytes={had}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # the scheme is checked by the caller
    opener = urllib.request.build_opener(_CheckedRedirects())
    try:
        response = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not had:
            raise
        error.close()
        return  # all of it is here, or it is another file: the digest will tell
    with response:
        start = _start_of(response) if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        if start not in (0, had):
            raise _OtherFile(f"{url}: the server sent bytes from {start} on instead of {had}")
        declared = response.headers.get("Content-Length")
        total = start + int(declared) if declared is not None and declared.isdecimal() else None
        if total is not None and total > limit:
            raise _OtherFile(f"{url}: {total:,} bytes, which is larger than {limit:,}")
        with _private(growing, start) as stream:
            had = start
            for chunk in _chunks(response, url):
                had += len(chunk)
                if had > limit:
                    raise _OtherFile(f"{url}: larger than {limit:,} bytes")
                stream.write(chunk)
                if progress is not None:
                    progress(had, total)
    if total is not None and had < total:
        raise _CutOff(f"{url}: cut off after {had:,} of {total:,} bytes")


def _chunks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as cause:
        raise _CutOff(f"{url}: cut off") from cause


def _start_of(response: http.client.HTTPResponse) -> int:
    """Return where a partial answer begins; -1 when it does not say."""
    found = re.fullmatch(r"bytes (\d{1,18})-\d+/(?:\d+|\*)", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _private(path: Path, keep: int) -> IO[bytes]:
    """Open for writing behind the first ``keep`` bytes, a new file for this user's eyes only; follows no link."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    stream = os.fdopen(os.open(path, flags, 0o600), "wb")
    stream.truncate(keep)
    stream.seek(keep)
    return stream


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _compare(url: str, path: Path, sha256: str) -> None:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != sha256:
        raise _OtherFile(
            f"{url}: the file's SHA-256 is {digest}, not {sha256} as pinned",
            hint="It is another version, or not what it claims to be. Nothing was installed.",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
