from __future__ import annotations

import pytest

from crypto.envelope import NO_PREVIOUS, EnvelopeHeader
from crypto.keys import DeviceSecrets, EpochKeys
from crypto.membership import Genesis, create_genesis, open_epoch, verify_genesis
from crypto.phrase import new_phrase, phrase_secrets


@pytest.fixture(scope="session")
def device() -> DeviceSecrets:
    return DeviceSecrets.generate()


@pytest.fixture(scope="session")
def phrase_member() -> DeviceSecrets:
    return phrase_secrets(new_phrase())


@pytest.fixture(scope="session")
def genesis(device: DeviceSecrets, phrase_member: DeviceSecrets) -> Genesis:
    return verify_genesis(create_genesis(device, phrase_member, created_at=1_700_000_000))


@pytest.fixture(scope="session")
def epoch(genesis: Genesis, device: DeviceSecrets) -> EpochKeys:
    return open_epoch(genesis, device)


@pytest.fixture(scope="session")
def header(genesis: Genesis, device: DeviceSecrets) -> EnvelopeHeader:
    return EnvelopeHeader(genesis.library_id, device.device_id, 1, NO_PREVIOUS, genesis.epoch_id, genesis.membership)
