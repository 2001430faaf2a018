"""What schemathesis makes up from the OpenAPI document, sent to a running relay: no faults, and no answer it lacks.

Data that fit the document and data that do not, signed in and not; the examples are the same in every run.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from sync_relay import wire
from sync_relay.server.openapi import document
from sync_relay.server.operations import OPERATIONS
from sync_relay.server.rates import Rate

if TYPE_CHECKING:
    from tests.sync_relay.conftest import Library
    from tests.sync_relay.running_relay import Relay

STORAGES = ("postgresql+s3",)  # the pickier of the two databases about what it is given
EXAMPLES = {True: 10, False: 4}  # a stranger is mostly turned away before anything that was sent is looked at


def as_messagepack(_context: Any, value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return b"\xc1"  # numbers that MessagePack does not have: what it never is


@pytest.mark.parametrize("kind", ["positive", "negative"])
@pytest.mark.parametrize("signed_in", [True, False], ids=["member", "stranger"])
def test_whatever_fits_the_document_or_not_is_answered_as_it_says(
    relay: Relay, library: Library, kind: str, signed_in: bool
) -> None:
    # Half a second that every process of the tests would take, as it would for its plugin of pytest (pyproject.toml).
    import requests
    import schemathesis
    from schemathesis.specs.openapi import checks

    CHECKS = [  # noqa: N806
        schemathesis.checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
        checks.negative_data_rejection,
        checks.missing_required_header,
        checks.unsupported_method,
        checks.allow_header_conformance,
    ]
    mode = schemathesis.GenerationMode(kind)
    schemathesis.serializer(wire.MSGPACK)(as_messagepack)
    client = relay.found(library, quota_bytes=1 << 62)  # 507 is an answer, and not a fault
    relay.service.anonymous_rate = relay.service.pairing_rate = relay.service.library_rate = Rate(1e9, 1e9, lambda: 0.0)
    headers = {"authorization": f"Bearer {client.token}"} if signed_in else {}
    described = schemathesis.openapi.from_dict(copy.deepcopy(document()))
    described.config.update(base_url=relay.url)
    rejection = described.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # so is what is too long
    failures = []
    asked = 0
    with requests.Session() as session:
        session.trust_env = False
        for result in described.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]  # the document is whole: test_interface

            @settings(
                max_examples=EXAMPLES[signed_in],
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal asked
                asked += 1
                response = case.call(session=session, headers=headers)
                case.validate_response(response, checks=CHECKS)

            try:
                ask()
            except Unsatisfiable:
                assert kind == "negative", operation.label  # one that takes nothing: nothing can be wrong
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (all operations are asked before any is shown)
                failures.append(f"{operation.label}: {error!r}")
    assert failures == [], "\n\n".join(failures)
    assert asked >= len(OPERATIONS)
