"""Only what is touched is loaded; what leaves memory comes back as it was, committed edits included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import edits, replicas

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench

MONTHS = [f"{year}-{month:02}" for year in (2022, 2023) for month in range(1, 13)]


@pytest.fixture
def two_years(bench: Bench) -> dict[str, list[bytes]]:
    with bench.open() as library:
        pids = {month: bench.add_photos(library, 5, month=month) for month in MONTHS}
        library.save_derived()
    return pids


def loaded(library: Library) -> set[str]:
    return set(library._view.replicas._loaded)


def test_opening_and_searching_load_no_shard_and_an_edit_only_its_own(
    bench: Bench, two_years: dict[str, list[bytes]]
) -> None:
    with bench.open() as library:
        assert library.catalog.count("date:2022") == 60
        assert library.refresh() is False
        assert loaded(library) == set()
        edits.set_rating(library, two_years["2022-03"], 4)
        assert loaded(library) == {"photos:2022-03"}
        with bench.open() as other:
            assert loaded(other) <= {"photos:2022-03"}
            edits.add_label(other, two_years["2023-11"], "lake")
        library.refresh()
        assert loaded(library) == {"photos:2022-03", "photos:2023-11"}


def test_memory_is_bounded_by_photos_and_edits_survive_leaving_it(
    bench: Bench, two_years: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "LONG_TAIL", 2)
    with bench.open() as library:
        library._view.replicas._photo_limit = 12
        for stars in (1, 2, 3):
            for month in MONTHS:
                edits.set_rating(library, two_years[month][:2], stars)
                assert len(loaded(library)) <= 3
        assert library.catalog.count("rating:3") == 48
    with bench.open() as library:
        for month in MONTHS:
            assert library.replica_get(f"photos:{month}", "rating", two_years[month][0].hex()) == 3


def test_an_edit_over_more_photos_than_fit_is_whole_and_memory_shrinks_again(
    bench: Bench, two_years: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "LONG_TAIL", 1)
    with bench.open() as library:
        library._view.replicas._photo_limit = 12
        everything = [pid for pids in two_years.values() for pid in pids]
        edits.add_label(library, everything, "all")
        assert library.catalog.count("label:all") == 120
        edits.set_rating(library, everything[:1], 1)
        assert len(loaded(library)) <= 3
        with pytest.MonkeyPatch.context() as failing:
            failing.setattr(library.chain, "seal", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                edits.add_label(library, everything, "never")
        assert library.catalog.count("label:never") == 0
    with bench.open() as library:
        assert library.replica_get("photos:2022-05", "label", f"{two_years['2022-05'][0].hex()}/never") is None
        assert library.replica_get("photos:2022-05", "label", f"{two_years['2022-05'][0].hex()}/all") is True


def test_a_snapshot_that_is_ahead_of_the_catalog_still_reaches_it(
    bench: Bench, two_years: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process saved a replica with edits that this process has not heard of."""
    monkeypatch.setattr(replicas, "LONG_TAIL", 1)
    with bench.open() as slow:
        with bench.open() as other:
            edits.set_rating(other, two_years["2023-07"], 4)
            other._view.replicas.save_long_tails()
        slow.refresh()
        assert [photo.rating for photo in slow.catalog.photos(two_years["2023-07"])] == [4] * 5
        with bench.open() as other:
            edits.set_rating(other, two_years["2022-03"], 5)
            other._view.replicas.save_long_tails()
            edits.set_rating(other, two_years["2022-03"][:1], 2)
        assert slow.replica_get("photos:2022-03", "rating", two_years["2022-03"][1].hex()) == 5
        slow.refresh()
        assert [photo.rating for photo in slow.catalog.photos(two_years["2022-03"])] == [2, 5, 5, 5, 5]


def test_no_snapshot_claims_an_envelope_that_could_not_be_read(
    bench: Bench, two_years: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "LONG_TAIL", 1)
    with bench.open() as library:
        edits.set_rating(library, two_years["2022-03"], 4)
        edits.add_label(library, two_years["2022-03"], "lake")
        library._view.replicas.drop_all()
        library.save_derived()
        run = library.log._connection.exec_driver_sql
        seq = library.log.head(library.device_id)[0] - 1
        good = library.log.hash_at(library.device_id, seq)
        run("UPDATE envelope SET hash = zeroblob(32) WHERE seq = ?", (seq,)).close()
    with bench.open() as damaged:
        assert damaged.alarms == [], "the catalog knew it all before the damage"
        damaged._view.replicas._photo_limit = 1
        assert damaged.replica_get("photos:2022-03", "rating", two_years["2022-03"][0].hex()) is None
        assert damaged.alarms[0].name == "envelope-damaged"
        assert damaged.replica_get("photos:2022-04", "rating", "") is None
        damaged.log._connection.exec_driver_sql("UPDATE envelope SET hash = ? WHERE seq = ?", (good, seq)).close()
    with bench.open() as healed:
        assert healed.alarms == []
        assert healed.replica_get("photos:2022-03", "rating", two_years["2022-03"][0].hex()) == 4
