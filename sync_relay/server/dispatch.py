"""From a request to a handler, and from its result or its error to a response.

The order is that of what costs least: how fast somebody asks, who it is, how long the body says it is, and only then
the body itself.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy.exc import IntegrityError
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sync_relay import wire
from sync_relay.errors import (
    Broken,
    ErrorDetails,
    Malformed,
    NotSignedIn,
    RelayError,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from sync_relay.server.blobs import Interrupted
from sync_relay.server.call import Call, pieces, read_number
from sync_relay.server.logs import cause
from sync_relay.server.operations import Access, Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sync_relay.server.service import Service

_DRAIN_BYTES: Final = 256 << 10
_TAKES: Final = "See /openapi.json for what it takes."
_CLIENT_GONE: Final = 499  # what web servers log where nobody is left to answer
_HEADERS: Final = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def endpoint(service: Service, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """Return the ASGI endpoint of an operation."""

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        request_id = secrets.token_hex(8)
        name = "-"
        try:
            response = await _handle(service, operation, request)
        except RelayError as error:
            name = error.name
            if isinstance(error, Unavailable) and error.__cause__ is not None:
                service.log.warning("outage", operation=operation.name, request=request_id, cause=cause(error))
            response = error_response(error, request)
        except (ClientDisconnect, Interrupted):
            name = "client-gone"
            response = Response(status_code=_CLIENT_GONE)
        except IntegrityError:
            name = Unavailable.name
            busy = Unavailable("another request was changing the same thing", hint="Try again.")
            response = error_response(busy, request)
        except Exception as error:  # noqa: BLE001 (nobody outside is to learn what broke)
            name = Broken.name
            where = _where(error)  # without the error's own text, which `exception` would write
            service.log.error("broken", operation=operation.name, request=request_id, **where)  # noqa: TRY400 (as above)
            response = error_response(
                Broken("the relay failed to answer", hint=f"Its log says more under {request_id}."), request
            )
        response.headers.update(_HEADERS)
        response.headers.setdefault("cache-control", "no-store")  # answers hold tokens, and belong to one asker
        seconds = time.perf_counter() - started
        service.metrics.requests.labels(operation.name, str(response.status_code)).inc()
        service.metrics.seconds.labels(operation.name).observe(seconds)
        if name != "-":
            service.metrics.errors.labels(name).inc()
        service.log.info(
            "answered",
            operation=operation.name,
            status=response.status_code,
            error=name,
            milliseconds=round(seconds * 1000, 1),
            request=request_id,
        )
        return response

    return answer


def error_response(error: RelayError, request: Request | None) -> Response:
    """Return an error as the client wants it; a HEAD request gets its name in a header field."""
    details = error.details if error.details != ErrorDetails() else None
    body = wire.ErrorBody(error=error.name, message=str(error), hint=error.hint, details=details)
    response = _encoded(body, error.status, request)
    response.headers[wire.ERROR_NAME] = error.name
    if error.details.retry_after is not None:
        response.headers["retry-after"] = str(error.details.retry_after)
    if isinstance(error, NotSignedIn):
        response.headers["www-authenticate"] = "Bearer"
    if error.details.size is not None and error.status == 416:  # noqa: PLR2004 (of HTTP)
        response.headers["content-range"] = f"bytes */{error.details.size}"
    return response


async def _handle(service: Service, operation: Operation, request: Request) -> Response:
    call = Call(service, request)
    await _admit(service, operation, call)
    _read_numbers(operation, call)
    if operation.body is not None:
        content = await _read_body(operation, request, service.settings.limits.idle_seconds)
        call.body = _decode(content, operation.body, request.headers.get("content-type", ""))
    elif not operation.streams_in:
        await _drain(service, request)
    else:
        _check_type(request.headers.get("content-type", wire.BINARY), (wire.BINARY,))
    result = await operation.handler(call)
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=operation.statuses[0])
    status = operation.statuses[0]
    if isinstance(result, wire.BlobState) and result.state == "partial":
        status = 202
    if operation.streams_in and not call.body_begun:
        await _drain(service, request)
    return _encoded(result, status, request)


async def _admit(service: Service, operation: Operation, call: Call) -> None:
    """Find out who asks, and whether too often."""
    call.address = address = service.addresses.key(call.request.client.host if call.request.client else None)
    if operation.access is Access.PAIRING:
        service.pairing_rate.take(address)
    elif operation.access is Access.MAILBOX:
        service.anonymous_rate.take(address + b"mailbox")
    elif operation.access is Access.MEMBER:
        try:
            call.caller = await service.sessions.authenticate(call.request.headers.get("authorization"))
        except NotSignedIn:
            service.anonymous_rate.take(address)  # so that nobody tries tokens at leisure
            raise
        service.library_rate.take(call.caller.library_id)
    elif operation.body is not None:
        service.anonymous_rate.take(address)


def _read_numbers(operation: Operation, call: Call) -> None:
    request = call.request
    known = {name for name, _ in operation.query}
    given = [name for name, _ in request.query_params.multi_items()]
    # What this relay does not know might say what not to answer, and of one that is given twice neither counts.
    for name in given:
        if name not in known or given.count(name) > 1:
            raise Malformed("the query names what this operation does not take, or takes once", hint=_TAKES)
    for names, values in ((operation.query, request.query_params), (operation.headers, request.headers)):
        for name, most in names:
            text = values.get(name)
            if text is None:
                continue
            number = read_number(text, most)
            if number is None:
                raise Malformed(f"`{name}` is a number from 0 to {most}", details=ErrorDetails(limit=most))
            call.numbers[name] = number


async def _read_body(operation: Operation, request: Request, idle_seconds: float) -> bytes:
    limit = operation.body_limit
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) > limit:
        raise _too_large(limit)  # unread
    content = bytearray()
    async for piece in pieces(request, idle_seconds):
        content += piece
        if len(content) > limit:
            raise _too_large(limit)
    return bytes(content)


async def _drain(service: Service, request: Request) -> None:
    """Read a small body that nobody wants, so that the connection can go on; a large one ends it."""
    declared = request.headers.get("content-length", "0")
    if int(declared) <= _DRAIN_BYTES:
        async for _ in pieces(request, service.settings.limits.idle_seconds):
            pass


def _decode(content: bytes, shape: type[wire.Struct], media: str) -> wire.Struct:
    kind = _check_type(media, (wire.MSGPACK, wire.JSON))
    decoder: Any = msgspec.msgpack if kind == wire.MSGPACK else msgspec.json
    try:
        decoded: wire.Struct = decoder.decode(content, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is not what this operation takes: {error}", hint=_TAKES) from None
    return decoded


def _check_type(media: str, known: tuple[str, ...]) -> str:
    kind = media.partition(";")[0].strip().lower()
    if kind not in known:
        raise UnsupportedMedia(f"the body has to be {' or '.join(known)}", hint="Say so in `Content-Type`.")
    return kind


def _encoded(body: wire.Struct, status: int, request: Request | None) -> Response:
    accept = request.headers.get("accept", "") if request is not None else ""
    if wire.MSGPACK in accept:
        return Response(msgspec.msgpack.encode(body), status, media_type=wire.MSGPACK)
    return Response(msgspec.json.encode(body), status, media_type=wire.JSON)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is longer than the {limit} bytes that this operation takes",
        hint="Send less at once.",
        details=ErrorDetails(limit=limit),
    )


def _where(error: Exception) -> dict[str, Any]:
    """Return the class of an unexpected error and the lines it passed: what it says may hold somebody's bytes."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        lines.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": lines[-8:]}
