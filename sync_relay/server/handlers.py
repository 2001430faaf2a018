"""What each operation does, except for the transfer of blobs."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

from sync_relay import wire
from sync_relay.errors import NoSuchPath, NotSignedIn
from sync_relay.server import ledger, libraries, log, mailboxes, removal
from sync_relay.server.call import read_number
from sync_relay.server.pages import status_html
from sync_relay.server.sessions import token_bytes

if TYPE_CHECKING:
    from sync_relay.server.call import Call

MOST_SEQ: Final = (1 << 63) - 1
ENTRIES_OF_ONE_SIGN_IN: Final = 8
"""A sign-in that brings entries counts as one more for each so many: they cost more to look at than a signature."""
_DEVICE: Final = re.compile("[0-9a-f]{64}", re.ASCII)
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "cache-control": "no-cache",
}


async def about(call: Call) -> wire.About:
    """`GET /v1`."""
    return wire.About(relay="safelight", protocols=[wire.PROTOCOL], time=call.service.parts.clock())


async def challenge(call: Call) -> wire.Challenge:
    """`POST /v1/sign-in/challenge`."""
    return call.service.sessions.challenge(call.body_as(wire.ChallengeRequest))


async def sign_in(call: Call) -> wire.Session:
    """`POST /v1/sign-in`."""
    request = call.body_as(wire.SignIn)
    if request.entries:
        call.service.anonymous_rate.take(call.address, math.ceil(len(request.entries) / ENTRIES_OF_ONE_SIGN_IN))
    session, admitted = await call.service.sessions.sign_in(request)
    if admitted:
        call.service.hub.notify(session.library_id, session.position)
    return session


async def found(call: Call) -> wire.Usage:
    """`POST /v1/libraries`."""
    request = call.body_as(wire.CreateLibrary)
    return await libraries.found(call.service.parts, request, token_bytes(request.invite))


async def usage(call: Call) -> wire.Usage:
    """`GET /v1/usage`."""
    async with call.service.parts.database.read() as connection:
        return await ledger.usage(connection, call.library_id)


async def pull(call: Call) -> wire.LogPage:
    """`GET /v1/log`."""
    limit = max(1, call.numbers.get("limit", wire.MAX_ITEMS))
    after, kinds = call.numbers.get("after", 0), call.numbers.get("kinds", 0) or wire.ALL_KINDS
    return await log.pull(call.service.parts, call.library_id, after, limit, kinds)


async def past(call: Call) -> wire.LogPage:
    """`POST /v1/log/past`."""
    return await log.past(call.service.parts, call.library_id, call.body_as(wire.Past))


async def envelope(call: Call) -> wire.Item:
    """`GET /v1/envelopes/{device}/{seq}`."""
    device, seq = call.request.path_params["device"], read_number(call.request.path_params["seq"], MOST_SEQ)
    if not _DEVICE.fullmatch(device) or not seq:
        raise NoSuchPath("an envelope is named by its device, 64 hexadecimal digits, and a number from 1 on")
    return await log.envelope(call.service.parts, call.library_id, bytes.fromhex(device), seq)


async def heads(call: Call) -> wire.Heads:
    """`GET /v1/heads`."""
    return await log.heads(call.service.parts, call.library_id)


async def append(call: Call) -> wire.Appended:
    """`POST /v1/envelopes`."""
    return _told(call, await log.append(call.service.parts, call.library_id, call.body_as(wire.Append).envelopes))


async def append_entries(call: Call) -> wire.Appended:
    """`POST /v1/membership`."""
    entries = call.body_as(wire.AppendEntries)
    return _told(call, await libraries.append_entries(call.service.parts, call.library_id, entries))


async def append_statements(call: Call) -> wire.Appended:
    """`POST /v1/statements`."""
    statements = call.body_as(wire.AppendStatements).statements
    return _told(call, await removal.append_statements(call.service.parts, call.library_id, statements))


async def blob_states(call: Call) -> wire.BlobStates:
    """`POST /v1/blobs/query`."""
    return await call.service.blobs.states(call.library_id, call.body_as(wire.BlobQuery).ids)


async def open_mailbox(call: Call) -> wire.MailboxSide:
    """`POST /v1/mailboxes`."""
    return await mailboxes.open_mailbox(call.service.parts, call.library_id)


async def claim_mailbox(call: Call) -> wire.MailboxSide:
    """`POST /v1/mailboxes/{number}/claim`."""
    return await mailboxes.claim(call.service.parts, call.mailbox)


async def leave_letter(call: Call) -> None:
    """`POST /v1/mailboxes/{number}/letters`."""
    await mailboxes.leave(call.service.parts, call.mailbox, call.token, call.body_as(wire.Letter).body)


async def collect_letters(call: Call) -> wire.Letters:
    """`GET /v1/mailboxes/{number}/letters`."""
    return await mailboxes.collect(call.service.parts, call.mailbox, call.token, call.numbers.get("after", 0))


async def close_mailbox(call: Call) -> None:
    """`DELETE /v1/mailboxes/{number}`."""
    await mailboxes.close(call.service.parts, call.mailbox, call.token)


async def live(_call: Call) -> wire.Health:
    """`GET /healthz`."""
    return wire.Health(status="ok")


async def ready(call: Call) -> wire.Health:
    """`GET /readyz`."""
    await call.service.check()
    return wire.Health(status="ok")


async def status_page(call: Call) -> Response:
    """`GET /`."""
    return Response(status_html(call.service.settings), media_type="text/html", headers=_PAGE_HEADERS)


async def openapi_document(call: Call) -> Response:
    """`GET /openapi.json`."""
    return JSONResponse(call.request.app.state.openapi)


def _told(call: Call, appended: wire.Appended) -> wire.Appended:
    if call.caller is None:
        raise NotSignedIn("this needs a token")
    if appended.stored:
        call.service.hub.notify(call.caller.library_id, appended.position)
    return appended
