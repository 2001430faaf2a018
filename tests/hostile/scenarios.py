"""The twelve attacks that Safelight is to withstand, and the parts each of them has.

A test says which part it shows: `@pytest.mark.scenario(4, "an earlier backup", alarm="rolled-back")`, on a function or
a class anywhere below `tests/`. `alarm` names what a user is told; without it, nobody is told anything because nothing
has gone wrong. The table in docs/security.md is made of these marks (`tests/hostile/table.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Scenario:
    """One attack: what is done, and its parts, each of which has at least one test."""

    title: str
    clauses: tuple[str, ...]


SCENARIOS: Final = {
    1: Scenario(
        "Bytes are flipped or cut off",
        (
            "in an envelope",
            "in a blob",
            "in a membership entry",
            "in a sign-in or a token",
            "in an answer of the relay",
            "in a file of the library",
        ),
    ),
    2: Scenario(
        "What was right once is played again",
        (
            "from another library",
            "as another device's",
            "under another number",
            "as another kind of thing",
            "under another epoch",
            "an earlier answer or sign-in",
        ),
    ),
    3: Scenario(
        "The order changes",
        (
            "envelopes are reordered",
            "envelopes are repeated",
            "envelopes are dropped",
            "blobs are dropped or exchanged",
        ),
    ),
    4: Scenario("The relay is put back", ("to an earlier backup", "to nothing")),
    5: Scenario("Something is kept back", ("one device's envelopes", "membership entries", "snapshots")),
    6: Scenario("Two clients are shown different histories, and meet", ("by the relay", "by a member")),
    7: Scenario(
        "A revoked device goes on",
        (
            "it forges or dates back an envelope",
            "it keeps its token",
            "it reads what is written afterwards",
            "it brings others in",
        ),
    ),
    8: Scenario(
        "A blob's chunks are changed",
        (
            "they are swapped",
            "they are truncated",
            "they are extended",
            "chunks of two blobs are mixed",
            "there are two last ones, or none",
            "it is a blob of another library",
        ),
    ),
    9: Scenario(
        "A checkpoint lies",
        ("it is an old one", "it is made up", "it is damaged or a bomb", "envelopes are pruned too early"),
    ),
    10: Scenario(
        "Keys are put in place of others",
        (
            "in the membership",
            "in pairing",
            "a library is invented for a recovery phrase",
            "pairing codes are guessed",
            "a pairing code is used twice",
            "two devices revoke each other",
            "a device is added by one that is being revoked",
            "epoch keys that are none",
        ),
    ),
    11: Scenario(
        "A member is hostile",
        (
            "it writes two envelopes of one number",
            "it uses one (actor, seq) twice",
            "it floods devices and relays",
            "it sends bombs",
            "it alters changes, with right checksums",
            "it writes records that no program writes",
            "it names relays, words and times that mislead",
            "it has relays remove what others use",
        ),
    ),
    12: Scenario(
        "Machines and networks fail",
        (
            "acknowledged writes are lost",
            "429, 507 and other refusals",
            "connections break",
            "the disk is full",
            "kill -9 between any two steps",
            "two processes use one library",
            "a clock is a year off",
            "a device is restored from an old backup",
            "a library folder is copied",
        ),
    ),
}
