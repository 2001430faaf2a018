"""Inviting: what the device that is in the library does when another wants in (docs/pairing.md).

The messages are those of `crypto.pairing`; here they meet the relay, the user and the log. The add is durable in this
library before anybody else is told, and the relay is told before anything else is done, because the newcomer waits.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING

from core.devices import member_errors, name_new_device
from core.errors import Forged, NoSuchRelay, PairingRefused, RelayRefused, RelayUnreachable
from core.mailbox import PACE, Mailbox, Pace
from core.membership_exchange import exchange_entries
from core.relay_errors import relay_errors
from core.sync.alarms import SyncAlarms
from core.sync.introduction import sign_in
from core.sync.relays import Relays
from crypto import membership_change as change
from crypto.errors import CryptoError
from crypto.pairing import Introduction, Inviter
from crypto.pairing_code import MAX_MAILBOX, PairingCode, new_code
from sync_relay.client import RelayClient, Unreachable, relay_url

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from core.library import Library

__all__ = ["Introduction", "PairingCode", "altered_letters", "invite", "invite_at"]


def invite(
    library: Library,
    client: RelayClient,
    *,
    on_code: Callable[[PairingCode], None],
    confirm: Callable[[Introduction], bool],
    stop: threading.Event,
    pace: Pace = PACE,
) -> Introduction:
    """Let one device in, by way of the relay of `client`, and return what it called itself.

    `on_code` is called once, with the code to be typed into the new device; `confirm` once, with who came, and what it
    returns is the user's word. `stop` ends all waiting. When this returns, the device is a member here and the relay
    knows it. The code is used up, whatever happens.

    Raises `PairingRefused` (a wrong guess, an expired code, a stop, the user's no), `Forged` (a letter was changed on
    its way), `NotAMember` (this device was revoked), `RelayUnreachable`, and `RelayRefused` with its kinds.
    """
    library.become_new_device()  # a copy of the folder must not speak as the device it is a copy of
    with relay_errors(client.url):
        sign_in(library, client)
    # First: who was revoked elsewhere must not be heard of later, and the newcomer is held to all we know.
    _exchange(library, client)
    if library.rotate_if_due():
        _exchange(library, client)
    with relay_errors(client.url):
        side = client.open_mailbox()
    if not 1 <= side.number <= MAX_MAILBOX:
        raise RelayRefused(f"the relay {client.url} gives out mailboxes without a proper number")
    code = new_code(side.number)
    members = library.members
    heads = members.membership.heads_for(library.device_id)
    inviter = Inviter(code, members.secrets, library.library_id, heads)
    with Mailbox(client, side, ended=_ended, stop=stop, pace=pace) as box:
        box.leave(inviter.hello())
        on_code(code)
        answer = box.receive()
        with _guesses():
            offer = inviter.offer(answer)
        box.leave(offer)
        introduction = box.receive()
        with altered_letters(client.url):
            newcomer = inviter.meet(introduction)
        if not confirm(newcomer):
            raise PairingRefused(f"'{newcomer.name}' was not added: you said no")
        library.rotate_if_due()
        with member_errors():
            draft = change.draft_add(
                members.membership,
                members.secrets,
                members.keyring,
                newcomer.device_id,
                newcomer.exchange,
                created_at=int(time.time()),
            )
        box.leave(inviter.grant(draft))
        acceptance = box.receive()
        with altered_letters(client.url):
            entry = inviter.finish(acceptance)
        library.add_entries([entry])
        _tell(library, client, newcomer, stop, pace)
        box.close()
    name_new_device(library, newcomer.device_id, newcomer.name)
    return newcomer


def invite_at(
    library: Library,
    *,
    url: str | None = None,
    on_code: Callable[[str, PairingCode], None],
    confirm: Callable[[Introduction], bool],
    stop: threading.Event,
    connect: Callable[[str], RelayClient] = RelayClient,
    pace: Pace = PACE,
) -> Introduction:
    """As `invite`, at the relay `url` of those the library uses, or at the first that answers.

    `on_code` is given the relay's URL too. Raises `NoSuchRelay` where the library uses none, or not this one.
    """
    urls = _relays_to_meet_at(library, url)
    for place, relay in enumerate(urls, start=1):
        with relay_errors(relay), connect(relay) as client:
            try:
                client.about()
            except Unreachable:
                if place == len(urls):
                    raise
                continue
            return invite(
                library,
                client,
                on_code=functools.partial(on_code, client.url),
                confirm=confirm,
                stop=stop,
                pace=pace,
            )
    raise AssertionError("the last relay answers or raises")


def _relays_to_meet_at(library: Library, url: str | None) -> list[str]:
    urls = Relays(library).urls()
    if not urls:
        raise NoSuchRelay(
            "this library uses no relay yet, and devices meet at one",
            hint="`safelight relay use URL --invite CODE` puts the library on a relay; its owner makes invites.",
        )
    if url is None:
        return urls
    with relay_errors(url):
        wanted = relay_url(url)
    if wanted not in urls:
        raise NoSuchRelay(
            f"this library does not use the relay {wanted}", hint="`safelight relay list` shows those it uses."
        )
    return [wanted]


@contextlib.contextmanager
def altered_letters(url: str) -> Iterator[None]:
    """Turn letters that do not open, once both sides have shown that they know the code, into the alarm `Forged`.

    Nobody who merely guesses comes this far: it was the relay, or whoever sits in its place.
    """
    try:
        yield
    except CryptoError as error:
        raise Forged(
            f"a letter of this pairing was changed on its way through the relay {url}: {error}",
            hint="Nothing was shared with it. Make a new code, and if it happens again use another relay.",
        ) from error


def _exchange(library: Library, client: RelayClient) -> None:
    alarms = SyncAlarms(library)
    for alarm in exchange_entries(library, client).alarms:
        alarms.raise_(alarm, client.url)


def _tell(library: Library, client: RelayClient, newcomer: Introduction, stop: threading.Event, pace: Pace) -> None:
    """Give the relay the entry that adds the newcomer, which waits for it."""
    patience = time.monotonic() + pace.unreachable
    while True:
        try:
            return _exchange(library, client)
        except RelayUnreachable as error:
            if time.monotonic() < patience and not stop.wait(pace.longest):
                continue
            raise RelayUnreachable(
                f"'{newcomer.name}' is in the library, but {error}",
                hint="The new device waits a minute for it: `safelight sync` tells the relay. If it has given up by "
                "then, take it out again with `safelight device revoke`, and make a new code.",
            ) from error


@contextlib.contextmanager
def _guesses() -> Iterator[None]:
    try:
        yield
    except CryptoError as error:
        raise PairingRefused(
            f"nobody was added: {error}", hint="The code is used up. `safelight device add` makes a new one."
        ) from error


def _ended() -> PairingRefused:
    return PairingRefused(
        "nobody was added: the code has expired, or the other device gave up",
        hint="`safelight device add` makes a new code.",
    )
