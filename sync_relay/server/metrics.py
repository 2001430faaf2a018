"""What an owner may watch: counts and times by operation, never by library, device or address. On a port of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """The figures of one worker."""

    def __init__(self) -> None:
        """Start all of them at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "safelight_relay_requests",
            "Answers, by operation and status",
            ["operation", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "safelight_relay_request_seconds",
            "Time to the end of an answer",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.errors = Counter("safelight_relay_errors", "Refusals, by name", ["name"], registry=self.registry)
        self.received = Counter("safelight_relay_received_bytes", "Bytes of blobs taken", registry=self.registry)
        self.sent = Counter("safelight_relay_sent_bytes", "Bytes of blobs given", registry=self.registry)
        self.sockets = Gauge("safelight_relay_sockets", "Open WebSockets", registry=self.registry)
        self.swept = Counter("safelight_relay_swept", "Things removed in their time", ["what"], registry=self.registry)

    def application(self) -> Starlette:
        """Return the ASGI application that answers `/metrics`."""

        async def metrics(_request: Request) -> Response:
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return Starlette(routes=[Route("/metrics", metrics)])
