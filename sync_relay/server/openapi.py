"""The OpenAPI document, made from the table of operations and the structs that really cross the network."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sync_relay import wire
from sync_relay.server.operations import OPERATIONS, Access, Operation

if TYPE_CHECKING:
    from sync_relay.errors import RelayError

_REFERENCE: Final = "#/components/schemas/{name}"
_NO_BODY: Final = 204
_PATH_PARAMETERS: Final = {
    "blob": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "number": {"type": "integer", "minimum": 0},
    "device": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "seq": {"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1},
}
_ABOUT: Final = (
    "The interface of a Safelight relay. Bodies are JSON, with bytes in base64, or the same as MessagePack "
    "(`application/msgpack`). `GET /v1/events` is a WebSocket (with the same `Authorization`) that sends "
    '`{"position": n}` whenever the library\'s log has moved on, and takes nothing.'
)


@functools.cache
def document() -> dict[str, Any]:
    """Return the document; it is the same one every time."""
    structs = {struct for operation in OPERATIONS for struct in (operation.body, operation.result) if struct}
    _, components = msgspec.json.schema_components(
        [*sorted(structs, key=_name), wire.ErrorBody], ref_template=_REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Safelight relay", "version": _version(), "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.access in {Access.MEMBER, Access.MAILBOX}:
        described["security"] = [{"token": []}]
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    elif operation.streams_in:
        described["requestBody"] = {"content": {wire.BINARY: {"schema": {"type": "string", "format": "binary"}}}}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in _PATH_PARAMETERS.items()
        if f"{{{name}}}" in operation.path
    ]
    for where, required, names in (("query", False, operation.query), ("header", True, operation.headers)):
        found += [
            {
                "name": name,
                "in": where,
                "required": required,
                "schema": {"type": "integer", "minimum": 0, "maximum": most},
            }
            for name, most in names
        ]
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in operation.statuses:
        responses[str(status)] = {"description": operation.summary}
        if operation.result is not None:
            responses[str(status)]["content"] = _content(operation.result)
        elif status != _NO_BODY and operation.method != "HEAD":
            kind = "object" if operation.media == wire.JSON else "string"
            responses[str(status)]["content"] = {operation.media: {"schema": {"type": kind}}}
    by_status: dict[int, list[type[RelayError]]] = {}
    for error in operation.all_errors:
        by_status.setdefault(error.status, []).append(error)
    for status, errors in sorted(by_status.items()):
        described: dict[str, Any] = {
            "description": " ".join(f"`{error.name}`: {(error.__doc__ or '').splitlines()[0]}" for error in errors),
            "x-errors": [error.name for error in errors],
        }
        if operation.method != "HEAD":
            described["content"] = _content(wire.ErrorBody)
        responses[str(status)] = described
    return responses


def _content(struct: type[wire.Struct]) -> dict[str, Any]:
    schema = {"schema": {"$ref": _REFERENCE.format(name=struct.__name__)}}
    return {wire.JSON: schema, wire.MSGPACK: schema}


def _name(struct: type[wire.Struct]) -> str:
    return struct.__name__


def _version() -> str:
    try:
        return version("safelight")
    except PackageNotFoundError:
        return "0"
