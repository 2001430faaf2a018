"""Pairing by way of a relay that lies, and between devices that are taken out meanwhile."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from core.devices import devices, find_device, revoke
from core.errors import CoreError, Forged, NotAMember, PairingRefused, Withheld
from core.library import Library
from core.telling import tell_relays
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay import wire
from sync_relay.client import RelayClient
from tests.core.devices.conftest import Pairing, members, no_trace, sync, sync_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.pairing import Introduction
    from tests.core.conftest import Bench


class Swapping(RelayClient):
    """A relay that changes one of the letters it passes on."""

    letter = 0
    change: Callable[[bytes], bytes]
    seen = 0

    def collect_letters(self, side: wire.MailboxSide, after: int = 0) -> wire.Letters:
        found = super().collect_letters(side, after)
        changed = [
            type(self).change(letter) if after + number == self.letter else letter
            for number, letter in enumerate(found.letters)
        ]
        return wire.Letters(letters=changed, claimed=found.claimed)


def flipped_last(letter: bytes) -> bytes:
    return letter[:-1] + bytes([letter[-1] ^ 1])


def flipped_middle(letter: bytes) -> bytes:
    middle = len(letter) // 2
    return letter[:middle] + bytes([letter[middle] ^ 0x40]) + letter[middle + 1 :]


CHANGES = {
    "changed": flipped_middle,
    "short": lambda letter: letter[:-1],
    "other": lambda _letter: b"SFLTPA\0\1\3" + bytes(300),
}


@pytest.mark.scenario(10, "in pairing", alarm="forged")
@pytest.mark.parametrize("side", ["old", "new"])
def test_a_letter_that_is_changed_on_its_way_ends_it(pairing: Pairing, side: str) -> None:
    for number, change in itertools.product([0, 1, 2], CHANGES):
        lying = type("Lying", (Swapping,), {"letter": number, "change": staticmethod(CHANGES[change])})
        invitation = pairing.invite(connect=lying if side == "old" else RelayClient)
        with pytest.raises((PairingRefused, Forged)):
            pairing.join(invitation.code, connect=RelayClient if side == "old" else lying)
        error = invitation.error()
        assert isinstance(error, PairingRefused | Forged), (number, change)
        if side == "old" and number:
            assert isinstance(error, Forged), (number, change)
        assert len(members(pairing.library)) == 1, (number, change)
        assert no_trace(pairing.folder / "laptop"), (number, change)


class LyingLog(RelayClient):
    """A relay that gives out other membership entries than it was given."""

    entries: Callable[[list[bytes]], list[bytes]]

    def log(self, after: int, limit: int = wire.MAX_ITEMS, kinds: Any = ()) -> wire.LogPage:
        page = super().log(after, limit, kinds)
        bodies = [item.body for item in page.items if item.body is not None]
        items = [
            wire.Item(position=number, kind=wire.KIND_MEMBERSHIP, body=body)
            for number, body in enumerate(type(self).entries(bodies), start=1)
        ]
        return wire.LogPage(items=items, position=page.position)


def invented(_entries: list[bytes]) -> list[bytes]:
    return [create_genesis(DeviceSecrets.generate(), phrase_secrets(new_phrase()))]


LIES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], type[CoreError]]] = {
    "nothing": (lambda _: [], Withheld),
    "an invented genesis": (invented, Withheld),
    "genesis alone": (lambda entries: entries[:1], Withheld),
    "no genesis": (lambda entries: entries[1:], Withheld),
    "a changed genesis": (lambda entries: [flipped_last(entries[0]), *entries[1:]], Withheld),
    "a changed entry": (lambda entries: [entries[0], flipped_last(entries[1]), *entries[2:]], Forged),
    "an entry of another library": (lambda entries: [*entries, invented([])[0][:-200]], Forged),
}


@pytest.mark.scenario(10, "in pairing", alarm=("withheld", "forged"))
@pytest.mark.scenario(5, "membership entries", alarm=("withheld", "forged"))
def test_a_relay_that_gives_out_other_entries_is_found_out(pairing: Pairing) -> None:
    pairing.add("first").close()
    sync(pairing.library)
    for lie, (entries, alarm) in LIES.items():
        lying = type("Lying", (LyingLog,), {"entries": staticmethod(entries)})
        invitation = pairing.invite()
        with pytest.raises(alarm) as raised:
            pairing.join(invitation.code, "second", connect=lying)
        assert raised.value.hint, lie
        assert no_trace(pairing.folder / "second"), lie
        invitation.result()


def test_an_inviter_is_not_told_of_entries_that_do_not_hold(pairing: Pairing) -> None:
    lying = type("Lying", (LyingLog,), {"entries": staticmethod(LIES["a changed entry"][0])})
    with pairing.add("first"):
        invitation = pairing.invite(connect=lying)
        pairing.join(invitation.code, "second").close()
        invitation.result()
    assert len(members(pairing.library)) == 3


@pytest.mark.scenario(10, "two devices revoke each other")
def test_two_devices_revoke_each_other_and_the_phrase_remains(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        revoke(desk, laptop.device_id)
        revoke(laptop, desk.device_id)
        assert tell_relays(desk) == []
        (refused,) = tell_relays(laptop)
        assert isinstance(refused, NotAMember)
        assert members(desk) == {desk.device_id}
        assert isinstance(sync_error(laptop), NotAMember)
        assert laptop.catalog.pids("") == []


@pytest.mark.scenario(10, "a device is added by one that is being revoked")
def test_a_device_that_is_revoked_while_it_invites_adds_nobody(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)

        def confirm(_: Introduction) -> bool:
            revoke(desk, laptop.device_id)
            assert tell_relays(desk) == []
            return True

        invitation = pairing.invite(laptop, confirm=confirm)
        with pytest.raises(PairingRefused, match="did not tell the relay"):
            pairing.join(invitation.code, "phone")
        assert isinstance(invitation.error(), NotAMember)
        sync(desk)
        assert members(desk) == {desk.device_id}
        assert no_trace(pairing.folder / "phone")


@pytest.mark.scenario(10, "a device is added by one that is being revoked")
def test_an_add_that_is_void_is_known_to_the_newcomer(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        revoke(desk, laptop.device_id)

        class Late(RelayClient):
            """The revocation reaches the relay between the newcomer's signing in and its asking for entries."""

            def log(self, after: int, limit: int = wire.MAX_ITEMS, kinds: Any = ()) -> wire.LogPage:
                assert tell_relays(desk) == []
                with RelayClient(self.url) as member:
                    member.sign_in(desk.members.secrets, desk.library_id, 0)
                    return member.log(after, limit, kinds)

        invitation = pairing.invite(laptop)
        with pytest.raises(NotAMember, match="revoked at the same time"):
            pairing.join(invitation.code, "phone", connect=Late)
        invitation.error()
        assert find_device(desk, "laptop").revoked
        assert members(desk) == {desk.device_id}


@pytest.mark.scenario(12, "a library folder is copied")
def test_a_copied_folder_invites_and_revokes_as_a_device_of_its_own(
    bench: Bench, pairing: Pairing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        shutil.copytree(bench.root, tmp_path / "copy")
        revoke(desk, laptop.device_id)
        monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
        with Library.open(tmp_path / "copy", bench.secrets) as copy:
            pairing.add("phone", copy).close()
            assert copy.device_id != desk.device_id
            sync(desk, copy)
            for library in (desk, copy):
                assert library.members.membership.alarms == ()
            assert members(desk) == members(copy)
            # Both came within a second, so either may be listed first.
            names = sorted(one.name for one in devices(desk) if not one.revoked)
            assert names == ["desk", "desk (copy)", "phone"]
