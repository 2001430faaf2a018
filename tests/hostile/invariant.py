"""What has to hold after every attack, whatever was done: the one check that all twelve scenarios end with.

1. Nothing in the clear has left: neither the relay's files and log, nor the bytes on the wire, nor the libraries' own
   folders hold a planted word or a pattern of pixels, as it is, in hexadecimal or base64, or behind a plain deflate.
2. No edit is lost: every photo, caption, label and file name that was put in is there on every honest device, and every
   original opens on the device that put it.
3. Honest devices have converged, and exactly the alarms that the test's mark names were raised. Each says what to do,
   and those asked for say which device and which envelope.
4. Everything that was saved loads: libraries are opened anew, verified with every chunk decrypted, and rebuilt from
   their logs to the same view.
"""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from typing import TYPE_CHECKING

from core.verify import verify
from tests.core.sync.conftest import converged, shown
from tests.hostile.conftest import still_sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from core.sync.alarms import KeptAlarm
    from tests.core.sync.conftest import Device
    from tests.hostile.world import World

_DEFLATED = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_INFLATED = 1 << 16


def holds(world: World, *about: str, devices: Iterable[Device] = (), apart: bool = False) -> None:
    """Stop all lies, let `devices` (by default all) sync, and assert the invariant.

    Each of `about` has to stand in an alarm. With `apart`, photos have to be the same on all devices, and what a member
    told them differently need not be.
    """
    honest = [*devices] or world.home.devices
    for lies in world.lies.values():
        lies.clear()
    world.sync(*honest, rounds=2)
    world.sync(honest[0])
    if apart:
        assert all(shown(device)["photos"] == shown(honest[0])["photos"] for device in honest)
    else:
        converged(*honest)
    nothing_is_lost(world, honest)
    alarms_are(world, honest, about)
    for device in honest:
        problems = verify(device.library, deep=True).problems
        assert problems == [], problems
    still_sound(*honest)
    assert leaks(world) == []
    world.checked = True


def nothing_is_lost(world: World, honest: Iterable[Device]) -> None:
    """Assert that all that was put in is there."""
    for device in honest:
        for photo in world.planted:
            record = device.library.catalog.photo(photo.pid)
            assert record is not None, photo
            assert (record.filename, record.caption) == (photo.name, photo.caption)
            assert photo.label in {label.name for label in record.labels}, photo
            if photo.device is device:
                copies = device.library.catalog.copies(photo.pid)
                assert [device.library.blobs.read(copy.blob_id, copy.key) for copy in copies] == [photo.content]


def alarms_are(world: World, honest: Iterable[Device], about: Iterable[str]) -> None:
    """Assert which alarms were raised, and that each says what to do and tells nothing; then they are cleared."""
    kept: list[KeptAlarm] = [alarm for device in honest for alarm in device.engine.alarms.list()]
    told = {(alarm.name, alarm.message, alarm.hint) for alarm in kept}
    told |= {(alarm.name, str(alarm), alarm.hint) for alarm in world.heard}
    assert {name for name, _, _ in told} == world.expected, told
    for name, message, hint in told:
        assert hint, (name, message)
        assert f"{message}{hint}".isprintable(), (name, message)
        assert _needles(world).search(f"{message}{hint}".encode()) is None, (name, message)
    for words in about:
        assert any(words in message for _, message, _ in told), (words, told)
    for device in honest:
        device.engine.alarms.clear()
    world.heard.clear()
    world.expected.clear()


def leaks(world: World) -> list[str]:
    """Return where something that was planted can be read."""
    needles = _needles(world)
    found = [where for where, content in _everything(world) if _readable(needles, content)]
    world.wire.bytes.clear()
    return found


def _everything(world: World) -> Iterator[tuple[str, bytes]]:
    yield "wire", bytes(world.wire.bytes)
    yield "the relay's log", world.relay.log.getvalue().encode()
    folders = [world.relay.base_settings.data, *(device.root for device in world.home.devices)]
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # temporary files go while they are listed
                if path.is_file():
                    yield str(path), path.name.encode() + b"\n" + path.read_bytes()


def _needles(world: World) -> re.Pattern[bytes]:
    found: set[bytes] = set()
    for photo in world.planted:
        words = (photo.name, photo.caption, photo.label)
        for needle in (*(word.encode() for word in words), photo.pixels[:24]):
            found |= {needle, needle.hex().encode()}
            # What base64 makes of some bytes depends on where they begin: the first and last few digits vary.
            found |= {base64.b64encode(bytes(before) + needle)[4:-4] for before in range(3)}
    return re.compile(b"|".join(map(re.escape, sorted(found))) if found else b"(?!)")


def _readable(needles: re.Pattern[bytes], content: bytes) -> bool:
    if needles.search(content):
        return True
    for begin in _DEFLATED.finditer(content):
        with contextlib.suppress(zlib.error):
            if needles.search(zlib.decompressobj().decompress(content[begin.start() :], _INFLATED)):
                return True
    return False
