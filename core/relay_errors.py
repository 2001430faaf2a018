"""What a relay's client raises, as errors of the library: the one place that decides which is which."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from core.errors import InvalidEdit, NotAMember, RelayQuotaFull, RelayRefused, RelayUnreachable
from sync_relay import errors
from sync_relay.client import InvalidUrl, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def relay_errors(url: str) -> Iterator[None]:
    """Turn what the client of the relay at `url` raises into `RelayUnreachable`, `RelayRefused` and their like."""
    try:
        yield
    except Unreachable as error:
        raise RelayUnreachable(f"the relay {url} is out of reach: {error}", hint=error.hint) from error
    except InvalidUrl as error:
        raise InvalidEdit(str(error), hint=getattr(error, "hint", None)) from error
    except (errors.Broken, errors.Unavailable, errors.TooManyRequests) as error:
        # Nobody decided against this device: the same request may be answered later.
        raise RelayUnreachable(f"the relay {url} cannot answer now: {error}", hint=error.hint) from error
    except errors.RelayError as error:
        raise refusal(url, error) from error


def refusal(url: str, error: errors.RelayError) -> RelayRefused:
    """Return what the relay's answer `error` means to this device."""
    if isinstance(error, errors.NotAMember):
        return NotAMember(
            f"the relay {url} knows this device as no member of the library",
            hint="It was revoked, or the library is not at this relay. `safelight device list` on another device shows "
            "who is revoked.",
        )
    if isinstance(error, errors.QuotaFull):
        return RelayQuotaFull(f"the library is full at the relay {url}: {error}", hint=error.hint)
    return RelayRefused(f"the relay {url} refused: {error}", hint=error.hint)
