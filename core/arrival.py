"""Whether everything of a library has arrived on a device that joined or was recovered.

Until its first sync has come to its end, such a library may show nothing, or a part; the log remembers that it does.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from core.devices import device_names, name_new_device
from core.errors import CoreError, LogDamaged
from crypto.errors import CryptoError
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from core.library import Library

_FACT: Final = "arriving"


def begin_arriving(library: Library, name: str) -> None:
    """Remember that this library is new here and has yet to be filled, and what this device is to be called."""
    with library.log.transaction() as transaction:
        transaction.set_fact(_FACT, b"\1" + seal(name.encode(), _key(library), _FACT))


def is_arriving(library: Library) -> bool:
    """Tell whether no sync has come to its end since the library was made here."""
    try:
        return library.log.fact(_FACT) is not None
    except LogDamaged:
        return False  # an alarm already, and worse


def has_arrived(library: Library) -> None:
    """Forget it: a sync has come to its end. A device that was killed before anybody had named it names itself now."""
    if not is_arriving(library):
        return
    sealed = (library.log.fact(_FACT) or b"")[1:]
    with contextlib.suppress(CoreError, CryptoError, UnicodeDecodeError):
        name = open_sealed(sealed, _key(library), _FACT).decode()
        if library.device_id not in device_names(library):
            name_new_device(library, library.device_id, name)
    with library.log.transaction() as transaction:
        transaction.remove_fact(_FACT)


def _key(library: Library) -> bytes:
    return library.members.root_secrets.storage_key(_FACT)
