"""Whether everything of a library has arrived on a device that joined or was recovered.

Until its first sync has come to its end, such a library may show nothing, or a part; the log remembers that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core.errors import LogDamaged

if TYPE_CHECKING:
    from core.library import Library

_FACT: Final = "arriving"


def begin_arriving(library: Library) -> None:
    """Remember that this library is new here and has yet to be filled."""
    with library.log.transaction() as transaction:
        transaction.set_fact(_FACT, b"\1")


def is_arriving(library: Library) -> bool:
    """Tell whether no sync has come to its end since the library was made here."""
    try:
        return library.log.fact(_FACT) is not None
    except LogDamaged:
        return False  # an alarm already, and worse


def has_arrived(library: Library) -> None:
    """Forget it: a sync has come to its end."""
    if is_arriving(library):
        with library.log.transaction() as transaction:
            transaction.remove_fact(_FACT)
