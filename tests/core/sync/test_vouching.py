"""Checkpoints whose confirmation counts no more: members vouch for them anew, so that new devices can begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import edits
from core.envelope_body import KIND_CONFIRMATION, EnvelopeBody
from core.errors import WriterNotAMember
from core.sync import bootstrap
from core.sync.checkpoints import make_checkpoint
from core.sync.seen_checkpoints import look
from sync_relay import wire
from sync_relay.statements import Place, Prune, make_prune, read_statement
from tests.core import remote_device
from tests.core.sync.conftest import converged, shown
from tests.core.sync.test_bootstrap import let_grace_pass, make_and_confirm

if TYPE_CHECKING:
    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay


def three(pair: tuple[Device, Device], home: Home) -> tuple[Device, Device, Device]:
    """Three devices that know the same; all of them have written."""
    first, second = pair
    third = home.add()
    first.sync()
    pids = first.photos(3, month="2024-05")
    for device in (first, second, third):
        device.sync()
    edits.set_rating(second.library, pids[:1], 4)
    edits.add_label(third.library, pids[1:], "lake")
    for device in (second, third, first, second, third):
        device.sync()
    return first, second, third


def revoked_unseen(home: Home, device: Device, by: Device) -> None:
    """Revoke a device as of what another one has of it, which is long ago, and tell nobody yet."""
    home.revoke(device, by=home.devices.index(by))


def prunes(device: Device) -> list[Prune]:
    """Return the prune entries of the relay, as a device reads them."""
    (link,) = device.engine._links.values()
    items = link.client.log(0, kinds=(wire.KIND_PRUNE,)).items
    read = [read_statement(item.body or b"", device.library.library_id) for item in items]
    return [one for one in read if isinstance(one, Prune)]


def test_a_checkpoint_that_a_revoked_device_confirmed_is_confirmed_again(
    pair: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    """Whoever revoked it had not heard of the confirmation, which counts for nobody, and relays have dropped all."""
    first, second, third = three(pair, home)
    make_and_confirm(first, second)
    assert let_grace_pass(relay)["envelopes"] > 3
    revoked_unseen(home, second, third)
    for device in (third, first):
        device.engine.run()
    newcomer = home.add(by=2)
    for device in (third, newcomer, first):
        device.engine.run()
    assert newcomer.library.log.base()
    assert newcomer.engine.alarms.list() == []
    assert shown(newcomer) == shown(first) == shown(third)
    heads = [device.library.log.heads() for device in (first, third, newcomer)]
    for device in (first, third, newcomer, first, third, newcomer):
        device.engine.run()
    assert [device.library.log.heads() for device in (first, third, newcomer)] == heads, "and then it is still"


def test_the_author_speaks_for_who_confirmed_it_where_nobody_else_can(
    pair: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    """The third device, which has written too, is never there: the author's word alone is not enough, and need not be:
    it had accepted the confirmation."""
    first, second, third = three(pair, home)
    make_and_confirm(first, second)
    assert let_grace_pass(relay)["envelopes"] > 3
    revoked_unseen(home, second, third)
    first.library.ingest.entries(list(third.library.log.membership_entries().values()))
    (theirs,) = prunes(first)
    (link,) = first.engine._links.values()
    with pytest.raises(WriterNotAMember, match="as its confirmation: that device is no member"):
        bootstrap._offer(first.library, link.client, theirs)
    for _ in range(2):
        first.engine.run()
    newcomer = home.add()
    first.engine.run()
    newcomer.sync()
    first.engine.run()
    assert newcomer.library.log.base()
    assert shown(newcomer) == shown(first)
    assert [prune.device_id for prune in prunes(first)].count(first.id) == 1, "said once, and not again"


@pytest.mark.scenario(9, "it is made up")
def test_an_author_speaks_for_nobody_whose_confirmation_came_too_late(pair: tuple[Device, Device]) -> None:
    """A thief of a device that was revoked confirms what it likes: no member says that it had accepted that."""
    first, second = pair
    thief = remote_device.pair(first.library)
    first.photos(1)
    for device in (first, second):
        device.sync()
    edits.set_rating(second.library, second.library.catalog.pids(), 3)
    for device in (second, first):
        device.sync()
    founder = remote_device.beside(first.library)
    first.library.add_entries([founder.revoke(thief.id), founder.rotate()])
    assert make_checkpoint(first.library, look(first.library))
    known = look(first.library).newest()[0].place
    body = EnvelopeBody(KIND_CONFIRMATION, 0, [], [], bytes(16), "confirmation", "", confirms=known)
    arrival = first.library.ingest.envelopes([thief.write(body=body)])
    assert [alarm.name for alarm in arrival.alarms] == ["not-a-member"]
    first.engine.run()
    assert prunes(first) == []


@pytest.mark.scenario(9, "envelopes are pruned too early")
def test_what_a_member_had_relays_drop_with_no_checkpoint_is_stood_for_at_once(
    pair: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    """It names two of its own edits as checkpoint and confirmation, which a relay cannot tell from real ones."""
    first, second = pair
    hostile = remote_device.pair(first.library)
    pids = first.photos(3)
    for device in (first, second):
        device.sync()
    edits.set_rating(second.library, pids, 3)
    for device in (second, first):
        device.sync()
    client = relay.client()
    client.sign_in(hostile.secrets, first.library.library_id)
    for _ in range(2):
        client.append(hostile.write())
    covered = [Place(one, *place) for one, place in sorted(first.library.log.heads().items()) if one != hostile.id]
    places = [Place(hostile.id, *written.place) for written in hostile.chain]
    client.state(
        make_prune(
            hostile.secrets, first.library.library_id,
            checkpoint=places[0], confirmation=places[1], covered=covered, time=0,
        )
    )  # fmt: skip
    for device in (first, second, first):
        device.engine.run()
    assert let_grace_pass(relay)["envelopes"] > 3
    newcomer = home.add()
    first.engine.run()
    newcomer.engine.run()
    for device in (first, second):
        device.engine.run()
    assert newcomer.library.log.base()
    converged(first, second, newcomer)
    (only,) = look(first.library).newest()
    for device in (first, second, first):
        device.engine.run()
    assert look(first.library).newest() == [only]
