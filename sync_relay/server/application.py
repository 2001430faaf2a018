"""The ASGI application: routes from the table of operations, the WebSocket, and answers for everything else."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sync_relay import wire
from sync_relay.errors import NoSuchPath, NotSignedIn, RelayError, WrongMethod
from sync_relay.server.dispatch import endpoint, error_response
from sync_relay.server.openapi import document
from sync_relay.server.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from sync_relay.server.push import Subscriber
    from sync_relay.server.service import Service
    from sync_relay.server.sessions import Caller

EVENTS: Final = f"{wire.BASE}/events"
_GOING_AWAY: Final = 1001
_NOTHING_TO_SAY: Final = 1008
_SIGN_IN_AGAIN: Final = 4401
_NOT_FOUND: Final = 404


def application(service: Service) -> Starlette:
    """Return the application that answers for `service`, and starts and ends it."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(service.running())
            except Exception as error:
                told = str(error) if isinstance(error, RelayError) else ""
                service.log.error("cannot-start", error=type(error).__name__, reason=told)  # noqa: TRY400 (no traceback)
                raise
            yield

    async def unknown(request: Request, error: Exception) -> Response:
        missing = isinstance(error, HTTPException) and error.status_code == _NOT_FOUND
        refusal = (
            NoSuchPath("a relay has nothing at this path", hint="See /openapi.json for what it has.")
            if missing
            else WrongMethod("this path does not take this method", hint="See /openapi.json for what it takes.")
        )
        service.metrics.errors.labels(refusal.name).inc()
        response = error_response(refusal, request)
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        return response

    async def events(websocket: WebSocket) -> None:
        await _events(service, websocket)

    routes: list[BaseRoute] = []
    for operation in OPERATIONS:
        route = Route(operation.path, endpoint(service, operation), methods=[operation.method])
        route.methods = {operation.method}  # Starlette adds HEAD to every GET; the table says where there is one
        routes.append(route)
    routes.append(WebSocketRoute(EVENTS, events))
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: unknown})
    app.router.redirect_slashes = False
    app.state.openapi = document()
    return app


async def _events(service: Service, websocket: WebSocket) -> None:
    """`GET /v1/events`: tell positions until the token ends, the device is revoked, or either side goes."""
    authorization = websocket.headers.get("authorization")
    try:
        try:
            caller = await service.sessions.authenticate(authorization)
        except NotSignedIn:
            service.anonymous_rate.take(service.addresses.key(websocket.client.host if websocket.client else None))
            raise
        async with service.hub.subscribe(caller.library_id) as subscriber:
            await websocket.accept()
            service.metrics.sockets.inc()
            try:
                lifetime = max(0, caller.expires_at - service.parts.clock())
                code = await _tell(service, websocket, subscriber, caller, lifetime)
            finally:
                service.metrics.sockets.dec()
            if code is not None:
                await websocket.close(code)
    except RelayError as error:
        await websocket.send_denial_response(error_response(error, None))


async def _tell(
    service: Service, websocket: WebSocket, subscriber: Subscriber, caller: Caller, lifetime: float
) -> int | None:
    """Send positions; return the code to close with, or None if the other side has gone."""
    listening = asyncio.create_task(_listen(websocket))
    try:
        async with asyncio.timeout(lifetime):
            while True:
                waiting = asyncio.create_task(subscriber.wait())
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    waiting.cancel()
                    return listening.result()
                if subscriber.closed:
                    return _GOING_AWAY
                position = waiting.result()
                # The device may have been revoked since, and what was just appended may say so.
                if caller.device_id not in await service.hub.members(caller.library_id, position):
                    return _SIGN_IN_AGAIN
                await websocket.send_text(msgspec.json.encode(wire.Pushed(position=position)).decode())
    except (TimeoutError, RelayError):
        return _SIGN_IN_AGAIN
    except WebSocketDisconnect:
        return None
    finally:
        listening.cancel()


async def _listen(websocket: WebSocket) -> int | None:
    """Wait until the other side goes, or says something, for which there is no reason."""
    message = await websocket.receive()
    return _NOTHING_TO_SAY if message["type"] == "websocket.receive" else None
