"""One library whose ids and keys are the same in every run, so that what is kept in the corpus fits it."""

from __future__ import annotations

from crypto.genesis import _create_with, verify_genesis
from crypto.keys import EpochKeys
from tests.crypto.membership_world import FOUNDER, PHRASE, secrets_of

__all__ = ["EPOCH", "FOUNDER", "GENESIS", "KEY", "LIBRARY", "NEWCOMER", "PHRASE"]

KEY = bytes(range(32))
NEWCOMER = secrets_of(2)
GENESIS = verify_genesis(
    _create_with(KEY + bytes(32), (b"\1" * 32, b"\2" * 32), FOUNDER, PHRASE, created_at=1_700_000_000)
)
LIBRARY = GENESIS.library_id
EPOCH = EpochKeys(LIBRARY, KEY, bytes(32))
