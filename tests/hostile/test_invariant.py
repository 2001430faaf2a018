"""The check that all attacks end with finds what it looks for."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import pytest

from core import edits
from tests.hostile.invariant import holds, leaks, nothing_is_lost

if TYPE_CHECKING:
    from tests.hostile.world import World


class TestTheCheckItself:
    def test_what_leaks_is_found_in_whatever_form(self, world: World) -> None:
        photo = world.photo(world.first)
        world.sync(world.first, world.second)
        assert leaks(world) == []
        file = world.relay.base_settings.data / "core dump"
        for needle in (photo.name.encode(), photo.caption.encode(), photo.label.encode(), photo.content[:200]):
            for begin in range(3):
                text = b"what came before"[begin:] + needle
                for form in (text, text.hex().encode(), base64.b64encode(text), b"??" + zlib.compress(text * 9)):
                    file.write_bytes(b"\0" * 100 + form)
                    assert leaks(world) == [str(file)], form
        file.unlink()
        world.wire.bytes += b"GET /" + photo.name.encode()
        assert leaks(world) == ["wire"]
        folder = world.second.root / photo.label
        folder.write_bytes(b"")
        assert leaks(world) == [str(folder)], "names of files count"
        folder.unlink()
        holds(world)

    def test_what_is_lost_is_found(self, world: World) -> None:
        photo = world.photo(world.first)
        edits.set_caption(world.first.library, [photo.pid], "")
        with pytest.raises(AssertionError):
            nothing_is_lost(world, [world.first])
        edits.set_caption(world.first.library, [photo.pid], photo.caption)
        holds(world)
