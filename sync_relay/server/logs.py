"""The relay's log: JSON lines that say what happened, without addresses, ids, tokens or sizes of single things.

Whoever reads the log can count and time operations. Lines of one client cannot be joined: a request's id is random
and stands in nothing but the line and the answer of that request.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_IDS: Final = re.compile("[0-9A-Fa-f]{12,}")
_MOST: Final = 400


def relay_log(stream: TextIO | None = None) -> FilteringBoundLogger:
    """Return a logger of JSON lines to `stream`, standard error by default."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    return log


def cause(error: BaseException) -> str:
    """Return what an outage came from, for the owner: without the ids that names of objects are made of."""
    text = " ".join(str(getattr(error.__cause__, "orig", None) or error.__cause__).split())
    return _IDS.sub("…", text)[:_MOST]


class ServerMessages(logging.Handler):
    """Passes on what the HTTP server itself reports, without the arguments it puts in: those are addresses."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Write to `log`."""
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record: its pattern, and the class of the error that belongs to it."""
        details: dict[str, Any] = {}
        if record.exc_info and record.exc_info[0]:
            details["error"] = record.exc_info[0].__name__
        self._log.warning("server", message=str(record.msg).partition("\n")[0], **details)


def quiet_servers(log: FilteringBoundLogger) -> None:
    """Let the HTTP and WebSocket servers write to `log` only."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers = [ServerMessages(log)]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
