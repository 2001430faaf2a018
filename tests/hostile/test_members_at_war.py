"""Scenarios 2, 7, 10 and 12: members that turn on each other, sign-ins that are played again, clocks that are wrong.

Elsewhere: the rules of membership, each with its attack (tests/crypto/test_membership_attacks.py); adding while being
revoked, mutual revocation and swapped keys in pairing (tests/core/devices/test_pairing_attacks.py); an invented genesis
(test_recovering.py); challenges and tokens (tests/sync_relay/test_sign_in.py); cuts (tests/core/test_ingest.py,
test_acceptance.py).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from core import edits
from core.devices import devices, revoke
from core.errors import Forged
from core.library import Library
from crdt.documents import LIBRARY
from crdt.operations import Put
from crypto import exchange
from crypto.epochs import open_epochs
from crypto.keys import DeviceSecrets
from sync_relay import errors, wire
from sync_relay.server import members
from tests.core.remote_device import Remote, beside
from tests.core.sync.conftest import COSTS, converged
from tests.hostile.conftest import Hostile, about, reads_nothing, still_sound, sync_all

if TYPE_CHECKING:
    from tests.core.sync.conftest import Device
    from tests.sync_relay.running_relay import Client, Relay


@pytest.mark.scenario(11, "it floods devices and relays")
class TestAMemberThatFillsARelay:
    def test_revoking_it_makes_room_again(
        self,
        pair: tuple[Device, Device],
        mallory: Hostile,
        relay: Relay,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """And so with the devices that it added to go on in its place, as far as those out already leave room."""
        first, second = pair
        monkeypatch.setattr(members, "MAX_ENTRIES", 16)
        names = [mallory, *(Hostile(Remote(mallory.remote.genesis, DeviceSecrets.generate())) for _ in range(2))]
        for other in names[1:]:
            mallory.at(relay).add_entries(mallory.remote.add(other.remote.secrets).data)
        for other in names:
            first.sync()
            other.remote.entries.clear()
            other.knows(first.library)
            client = other.at(relay)

            def fill(client: Client = client, remote: Remote = other.remote) -> None:
                for _ in range(40):
                    client.add_entries(remote.rotate().data)

            with pytest.raises(errors.QuotaFull, match="16 membership entries"):
                fill()
            first.sync()
            # Also the last: there are twice sixteen entries by now.
            revoke(first.library, other.id)
            first.sync()
            with pytest.raises(errors.NotAMember):
                other.at(relay)
        assert len(first.library.members.membership.entries) > 32
        edits.set_caption(first.library, first.photos(), "after all of it")
        sync_all(first, second)
        converged(first, second)
        still_sound(first, second)


class TestARevokedDevice:
    @pytest.mark.scenario(7, "it keeps its token")
    def test_a_token_that_has_not_ended_opens_nothing_more(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        client = mallory.at(relay)
        assert client.pull().items
        revoke(first.library, mallory.id)
        edits.set_caption(first.library, first.photos(), "after the revocation")
        first.sync()
        for request in (
            client.pull,
            lambda: client.append(mallory.edit(LIBRARY, Put("search", "x", "late"))),
            lambda: client.store(b"a blob"),
            lambda: client.add_entries(mallory.remote.rotate().data),
        ):
            with pytest.raises((errors.NotAMember, errors.NotSignedIn)):
                request()
        sync_all(second, first)
        converged(first, second)
        reads_nothing(relay, "after the revocation")

    @pytest.mark.scenario(7, "it forges or dates back an envelope", alarm="not-a-member")
    def test_what_it_dates_back_and_a_relay_gives_out_is_not_accepted(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        """The relay helps: it hands out what the revoked device wrote afterwards under the old key."""
        first, second = pair
        mallory.at(relay).append(mallory.edit(LIBRARY, Put("search", "before", "dog")))
        sync_all(first, second)
        revoke(first.library, mallory.id)
        sync_all(first, second)
        late = mallory.edit(LIBRARY, Put("search", "late", "cat"), at=1)
        for device in (first, second):
            arrival = device.library.ingest.envelopes([late])
            assert arrival.accepted == 0
            assert [alarm.name for alarm in arrival.alarms] == ["not-a-member"]
            assert about(arrival.alarms, mallory.id)
            device.library.refresh()
            assert {name for name, _ in device.library.replica_items(LIBRARY, "search")} == {"before"}
        converged(first, second)
        still_sound(first, second)

    @pytest.mark.scenario(7, "it reads what is written afterwards")
    def test_it_can_read_nothing_that_is_sealed_afterwards(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        revoke(first.library, mallory.id)
        sync_all(first, second)
        edits.set_caption(second.library, second.photos(), "secret")
        sync_all(second, first)
        mallory.knows(first.library)
        keys = open_epochs(mallory.remote.membership, mallory.remote.secrets).keys
        for device in (first, second):
            assert device.library.members.current.epoch_id not in keys


@pytest.mark.scenario(10, "epoch keys that are none", alarm="forged")
class TestKeysThatAreNone:
    def test_who_is_given_other_keys_says_so_and_goes_on(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A member changes the epoch's key and seals garbage to one of the others."""
        first, second = pair
        mallory.knows(first.library)
        victim = mallory.remote.membership.members[second.id].exchange
        seal_to = exchange.seal_to

        def garbled(to: bytes, person: Any, context: bytes, key: bytes, **more: Any) -> bytes:
            return seal_to(to, person, context, bytes(len(key)) if to == victim else key, **more)

        with monkeypatch.context() as hostile:
            hostile.setattr(exchange, "seal_to", garbled)
            entry = mallory.remote.rotate()
        mallory.at(relay).add_entries(entry.data)
        alarms = sync_all(first, second)
        assert "forged" in {alarm.name for alarm in alarms}
        assert entry.hash.hex()[:8] in str(next(alarm for alarm in alarms if isinstance(alarm, Forged)))
        edits.set_caption(second.library, second.photos(), "by the one without the key")
        sync_all(second, first, second)
        edits.set_caption(first.library, first.photos(month="2024-06"), "by the other")
        sync_all(first, second, first)
        converged(first, second)
        still_sound(first, second)


@pytest.mark.scenario(12, "a clock is a year off")
class TestClocks:
    @pytest.mark.parametrize("off_s", [-400 * 86_400, 400 * 86_400])
    def test_a_clock_a_year_off_changes_nothing(
        self, pair: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch, off_s: int
    ) -> None:
        first, second = pair
        sync_all(first, second)
        now = time.time
        with monkeypatch.context() as wrong:
            wrong.setattr(time, "time", lambda: now() + off_s)
            edits.set_caption(second.library, second.photos(), "by a wrong clock")
            assert sync_all(second) == []
        edits.set_rating(first.library, first.photos(), 3)
        assert sync_all(first, second) == []
        converged(first, second)
        assert len(devices(first.library)) == 2


class TestPlayedAgain:
    @pytest.mark.scenario(2, "from another library", alarm="forged")
    def test_what_was_made_for_another_library_is_refused_whoever_brings_it(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        other, _ = Library.create(
            first.root.parent / "another", b"another passphrase", device_name="another", kdf=COSTS
        )
        with other:
            stranger = beside(other)
            foreign = stranger.write(after=other.log.head(other.device_id))
            entry = stranger.rotate()
            client = mallory.at(relay)
            with pytest.raises(errors.RelayError):
                client.append(foreign)
            with pytest.raises(errors.RelayError):
                client.add_entries(entry.data)
            for device in (first, second):
                assert [alarm.name for alarm in device.library.ingest.envelopes([foreign]).alarms] == ["forged"]
                assert [alarm.name for alarm in device.library.ingest.entries([entry.data]).alarms] == ["forged"]
        converged(first, second)

    @pytest.mark.scenario(2, "an earlier answer or sign-in")
    def test_a_revoked_one_is_not_shown_the_library_by_an_old_sign_in(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, _ = pair
        client = relay.client()
        nonce = client.challenge(mallory.id, mallory.library_id).nonce
        signed = client.signed(mallory.remote.secrets, mallory.library_id, nonce)
        revoke(first.library, mallory.id)
        first.sync()
        with pytest.raises((errors.NotAMember, errors.ChallengeRefused)):
            client.ask("POST", "/v1/sign-in", signed, wire.Session)
