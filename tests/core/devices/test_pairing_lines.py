"""Pairing over lines that break: at every step, and on both sides."""

from __future__ import annotations

import pytest

from core.errors import PairingRefused, RelayUnreachable
from tests.core.devices.conftest import LOST_OR_ANSWERED, Pairing, cut_once, members, no_trace

OF_THE_NEW_DEVICE = [
    ("GET /v1/mailboxes/", 1),
    ("GET /v1/mailboxes/", 3),
    ("/challenge.", 1),
    ("/log.", 1),
    ("POST /v1/mailboxes/", 2),  # after the claim: answer, introduction, acceptance
    ("POST /v1/mailboxes/", 3),
    ("POST /v1/mailboxes/", 4),
    ("/sign-in.", 1),
]
OF_THE_OLD_DEVICE = [
    ("/log.", 1),
    ("/log.", 2),
    ("GET /v1/mailboxes/", 2),
    ("POST /v1/mailboxes/", 1),  # hello, offer, grant
    ("POST /v1/mailboxes/", 2),
    ("POST /v1/mailboxes/", 3),
    ("/membership.", 1),
    ("DELETE ", 1),
]
CHANGES_NOTHING = 3
"""The first steps of both only ask: whether the relay answered them makes no difference."""


@LOST_OR_ANSWERED
def test_a_line_that_breaks_at_the_claim_ends_the_code(pairing: Pairing, answered: bool) -> None:
    invitation = pairing.invite()
    # Nobody can claim a mailbox twice, and nothing was said yet.
    with pytest.raises(RelayUnreachable):
        pairing.join(invitation.code, connect=cut_once("/claim.", 1, answered=answered))
    assert no_trace(pairing.folder / "laptop")
    invitation.stop.set()
    assert isinstance(invitation.error(), PairingRefused)
    assert len(members(pairing.library)) == 1
    pairing.add("laptop").close()
    assert len(members(pairing.library)) == 2


@LOST_OR_ANSWERED
def test_the_lines_of_both_devices_break(pairing: Pairing, answered: bool) -> None:
    steps = list(zip(OF_THE_NEW_DEVICE, OF_THE_OLD_DEVICE, strict=True))[CHANGES_NOTHING * answered :]
    for number, (new, old) in enumerate(steps):
        invitation = pairing.invite(connect=cut_once(*old, answered=answered))
        pairing.join(invitation.code, f"laptop {number}", connect=cut_once(*new, answered=answered)).close()
        invitation.result()
        assert len(members(pairing.library)) == 2 + number, (new, old)


@LOST_OR_ANSWERED
@pytest.mark.parametrize("what", ["/challenge.", "/sign-in.", "POST /v1/mailboxes."])
def test_before_there_is_a_code_nothing_is_lost_by_saying_so(pairing: Pairing, what: str, answered: bool) -> None:
    with pytest.raises(RelayUnreachable):
        pairing.invite(connect=cut_once(what, 1, answered=answered))
    assert len(members(pairing.library)) == 1
