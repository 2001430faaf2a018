"""A large document is read in parts, between which other threads get their answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from core.catalog import Catalog
from core.catalog import catalog as catalog_module
from core.catalog.writer import PhotoWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from core.catalog.entry import PhotoEntry
    from core.catalog.labels import Labeller
    from tests.core.conftest import Bench


def test_what_is_read_in_parts_is_what_is_read_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "_PART", 3)
    with bench.open() as library:
        pids = bench.add_photos(library, 10)
        replica = library.with_replica("photos:2024-05", lambda replica, _: replica)
        whole, parts = Catalog.empty(), Catalog.empty()
        whole.load_document("photos:2024-05", replica)
        counts: list[int] = []
        put = PhotoWriter.put

        def watched(
            writer: PhotoWriter, document: str, entries: Mapping[bytes, PhotoEntry], labeller: Labeller
        ) -> None:
            # Another thread asks before each part, and is answered.
            asking = threading.Thread(target=lambda: counts.append(parts.count()))
            put(writer, document, entries, labeller)
            asking.start()
            waiting.append(asking)

        waiting: list[threading.Thread] = []
        monkeypatch.setattr(PhotoWriter, "put", watched)
        parts.load_in_parts("photos:2024-05", replica)
        for thread in waiting:
            thread.join(60)
        assert len(waiting) == 4
        assert max(counts) <= 10
        assert parts.pids("") == whole.pids("")
        assert set(parts.pids("")) == set(pids)
        # Read again, as after a second checkpoint: what is known already is replaced.
        parts.load_in_parts("photos:2024-05", replica)
        assert parts.count() == 10
        for catalog in (whole, parts):
            catalog.close()
