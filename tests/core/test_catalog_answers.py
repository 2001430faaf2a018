"""What people see of the catalog: labels and corrections, listings, ids, `search --json`; and it stays in memory."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from core import edits
from core.catalog import SORT_KEYS, Catalog
from core.catalog.connection import driver_connection, ground_km
from core.errors import AmbiguousPhoto, NoSuchPhoto, QueryError, UnknownFormat
from core.labelling import use_pack
from core.search import search_result
from crdt.documents import LIBRARY, shard_name
from crdt.operations import Put
from crdt.records import AutoRecord, BundleEntry, BundleRecord, CopyRecord, PhotoFacts
from crdt.replica import Replica, new_actor
from crdt.schema import copy_key, pid_key
from tests.ml.colour_packs import ColourPack, added_pack

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench

MONTH = "photos:2024-05"
TAXONOMY = """
format = 1
[[label]]
name = "colourful"
[[label]]
name = "cold"
parents = ["colourful"]
wnids = ["c-green", "c-blue"]
[[label]]
name = "warm"
parents = ["colourful"]
wnids = ["c-red"]
[[label]]
name = "plain"
wnids = ["c-dark"]
"""


@pytest.fixture
def labelled(bench: Bench, library: Library, tmp_path: Path) -> tuple[Library, list[bytes]]:
    """Return a library of four photos: a red, a green and a blue one, and one of which the model knows nothing."""
    ids, names = ["c-red", "c-green", "c-blue", "c-dark"], ["Crimson", "Green", "Blue", "Dark"]
    pack = added_pack(ColourPack(tmp_path / "pack", ids=ids, taxonomy=TAXONOMY, labels=names).write())
    use_pack(library, pack)
    pids = bench.add_photos(library, 4)
    results = [[(0, 0.9)], [(1, 0.8)], [(2, 0.7)], [(0, 0.3), (1, 0.3)]]
    library.commit(
        {
            MONTH: [
                Put("auto", f"{pid_key(pid)}/{pack.model}", AutoRecord.of(classes).pack())
                for pid, classes in zip(pids, results, strict=True)
            ]
        },
        action="retag",
        summary="retag",
    )
    return library, pids


def names(library: Library, pid: bytes) -> list[str]:
    record = library.catalog.photo(pid)
    assert record is not None
    return [label.name for label in record.labels]


def test_a_model_s_labels_are_searched_with_all_that_is_above_them(labelled: tuple[Library, list[bytes]]) -> None:
    library, pids = labelled
    search = library.catalog.pids
    assert search("label:green") == [pids[1]]
    assert set(search("label:cold")) == {pids[1], pids[2]}
    assert set(search("colourful")) == set(pids[:3])
    assert search("is:unlabelled") == [pids[3]]
    assert library.catalog.label_counts() == {
        "colourful": 3, "cold": 2, "crimson": 1, "green": 1, "warm": 1,
    }  # fmt: skip


def test_taking_a_label_away_takes_what_is_below_it_too(labelled: tuple[Library, list[bytes]]) -> None:
    library, pids = labelled
    edits.remove_label(library, [pids[1]], "cold")
    assert names(library, pids[1]) == ["colourful"]
    assert library.catalog.pids("label:green") == []
    record = library.catalog.photo(pids[1])
    assert record is not None
    assert record.rejected == ("cold",)
    edits.add_label(library, [pids[1]], "Cold")
    assert names(library, pids[1]) == ["cold", "colourful", "green"]


def test_a_label_of_the_user_s_own_is_found_by_what_is_above_it(labelled: tuple[Library, list[bytes]]) -> None:
    library, pids = labelled
    edits.add_label(library, [pids[3]], "Blue")
    assert names(library, pids[3]) == ["blue"]
    assert library.catalog.search("label:cold", "score")[0].score == 1.0
    assert pids[3] in library.catalog.pids("label:cold")
    assert library.catalog.pids("is:confirmed") == [pids[3]]
    # What is no cold thing can still be blue, if the user says so outright.
    edits.remove_label(library, [pids[3]], "cold")
    assert names(library, pids[3]) == ["blue"]
    assert pids[3] not in library.catalog.pids("label:cold")
    edits.remove_label(library, [pids[3]], "blue")
    assert names(library, pids[3]) == []


def test_another_model_s_labels_show_only_while_it_is_in_use(
    labelled: tuple[Library, list[bytes]], tmp_path: Path
) -> None:
    library, pids = labelled
    other = added_pack(ColourPack(tmp_path / "other", name="other", labels=["a", "b", "c", "d"]).write())
    result = Put("auto", f"{pid_key(pids[0])}/{other.model}", AutoRecord.of([(1, 0.9)]).pack())
    library.commit({MONTH: [result]}, action="retag", summary="retag")
    assert library.catalog.pids("label:b") == []
    use_pack(library, other)
    assert library.catalog.pids("label:b") == [pids[0]]
    assert names(library, pids[1]) == []
    assert set(library.catalog.pids("is:unlabelled")) == set(pids[1:])


def test_scores_rank_what_a_label_finds(labelled: tuple[Library, list[bytes]]) -> None:
    library, pids = labelled
    found = library.catalog.search("label:colourful", "score")
    assert [record.pid for record in found] == pids[:3]
    assert [record.score for record in found] == [0.9, 0.8, 0.7]
    assert [record.score for record in library.catalog.search("")] == [None] * 4
    assert library.catalog.search("-label:green", "score")[0].score is None
    upwards = library.catalog.pids("label:colourful OR is:unlabelled", "score", descending=False)
    assert upwards == [pids[2], pids[1], pids[0], pids[3]]


def test_the_json_record_has_the_documented_fields(labelled: tuple[Library, list[bytes]]) -> None:
    library, pids = labelled
    album = edits.create_album(library, "Lisbon")
    edits.add_to_album(library, [pids[0]], album)
    edits.set_caption(library, [pids[0]], "On the beach")
    edits.set_rating(library, [pids[0]], 4)
    edits.set_favourite(library, [pids[0]], favourite=True)
    edits.add_label(library, [pids[0]], "Holiday")
    edits.set_taken(library, [pids[0]], "2024-05-17T14:03:00+02:00")
    (record,) = library.catalog.search("label:crimson")
    assert msgspec.to_builtins(search_result(record)) == {
        "id": pids[0].hex(),
        "filename": "IMG_0000.jpg",
        "taken_at": "2024-05-17T14:03:00+02:00",
        "width": 4000,
        "height": 3000,
        "size": record.size,
        "mime": "image/jpeg",
        "labels": [
            {"name": "holiday", "score": 1.0, "source": "user", "model": None},
            {"name": "colourful", "score": 0.9, "source": "model", "model": "colours@1.0.0"},
            {"name": "crimson", "score": 0.9, "source": "model", "model": "colours@1.0.0"},
            {"name": "warm", "score": 0.9, "source": "model", "model": "colours@1.0.0"},
        ],
        "caption": "On the beach",
        "rating": 4,
        "favourite": True,
        "albums": ["Lisbon"],
        "location": None,
        "score": 0.9,
    }


def test_a_saved_catalog_answers_alike_and_another_version_is_refused(labelled: tuple[Library, list[bytes]]) -> None:
    library, _ = labelled
    content = library.catalog.serialise()
    opened = Catalog.deserialise(content)
    assert opened.label_counts() == library.catalog.label_counts()
    assert opened.vector == library.catalog.vector
    assert opened.setting("pack") == library.setting("pack")
    driver_connection(opened._connection).execute("PRAGMA user_version = 99")
    newer = opened.serialise()
    for damaged in (newer, content[:100], b"", b"no catalog" * 1000, content[:4096] + bytes(len(content) - 4096)):
        with pytest.raises(UnknownFormat):
            Catalog.deserialise(damaged)


def test_ids_are_found_by_their_beginning() -> None:
    catalog = _catalog([bytes.fromhex("ab" * 16), bytes.fromhex("ab" * 15 + "cd"), bytes.fromhex("0c" * 16)])
    assert catalog.resolve("0c") == catalog.resolve("0C0c") == catalog.resolve("0") == bytes.fromhex("0c" * 16)
    assert catalog.resolve("ab" * 16) == bytes.fromhex("ab" * 16)
    for prefix in ("f", "xyz", "", "0c" * 17, "ab" * 15 + "ef", "%", "0_"):
        with pytest.raises((NoSuchPhoto, AmbiguousPhoto)):
            catalog.resolve(prefix)
    with pytest.raises(AmbiguousPhoto) as caught:
        catalog.resolve("ab")
    assert "abab" in (caught.value.hint or "")


def test_what_cannot_be_answered_is_said_and_pointed_at() -> None:
    catalog = _catalog([])
    for query, column in (('dog ~"on a beach"', 4), ("a -~beach", 3)):
        with pytest.raises(QueryError) as caught:
            catalog.search(query)
        assert (caught.value.column, caught.value.query) == (column, query)
    with pytest.raises(QueryError, match="sorted by"):
        catalog.search("", sort="tekan")


def test_suggestions_are_what_words_could_become(labelled: tuple[Library, list[bytes]]) -> None:
    library, pids = labelled
    edits.add_to_album(library, pids[:2], edits.create_album(library, "Summer in Lisbon"))
    edits.create_album(library, "Lisbon again")

    def suggested(field: str, prefix: str) -> list[tuple[str, int]]:
        return [(one.text, one.photos) for one in library.catalog.suggestions(field, prefix)]

    assert suggested("label", "co") == [("colourful", 3), ("cold", 2)]
    assert suggested("album", "LIS") == [("Summer in Lisbon", 2), ("Lisbon again", 0)]
    assert suggested("label", "kit") == []
    edits.add_label(library, pids[:1], "cat")
    assert suggested("label", "Kit") == [("cat", 1)]
    assert [one.meant_by for one in library.catalog.suggestions("label", "kit")] == ["kitten"]
    assert [one.meant_by for one in library.catalog.suggestions("label", "ca")] == [""]
    assert suggested("camera", "") == []
    assert suggested("colour", "r") == []


def test_months_and_counts_leave_the_trash_out(bench: Bench, library: Library) -> None:
    may, july = bench.add_photos(library, 3), bench.add_photos(library, 2, month="2023-07")
    edits.trash(library, [may[0], *july])
    assert library.catalog.months() == [("2024-05", 2)]
    assert library.catalog.count("is:trash") == 3
    edits.purge(library, [may[1]])
    assert library.catalog.photo(may[1]) is None
    assert library.catalog.purged(may) == {may[1]: MONTH}
    assert library.catalog.pids("") == [may[2]]
    edits.restore(library, july)
    assert library.catalog.months() == [("2024-05", 1), ("2023-07", 2)]


def test_dates_before_1970_count_in_their_month() -> None:
    pid = bytes(16)
    facts = PhotoFacts(width=1, height=1, size=1, mime="image/jpeg", wall_clock="1968-12-31T23:59:59.999")
    replica = Replica.create(shard_name(facts.wall_clock, pid), new_actor(b"device"))
    replica.edit([Put("photo", pid_key(pid), facts.pack())])
    catalog = Catalog.empty()
    catalog.load_document("photos:1968-12", replica)
    assert catalog.months() == [("1968-12", 1)]
    (record,) = catalog.search("date:1968-12-31T23:59:59.999")
    assert record.taken_at == "1968-12-31T23:59:59.999"


def test_a_photo_in_two_shards_is_one_photo_with_the_facts_of_the_lower() -> None:
    pid = bytes(16)
    shards = {name: Replica.create(name, new_actor(b"device")) for name in ("photos:2024-05", "undated:0")}
    for size, (name, replica) in enumerate(shards.items(), start=1):
        facts = PhotoFacts(width=1, height=1, size=size, mime="image/jpeg")
        copy = CopyRecord(role="original", key=bytes(32), size=size, file_name=f"{size}.jpg")
        replica.edit(
            [Put("photo", pid_key(pid), facts.pack()), Put("copy", copy_key(pid, bytes([size]) * 32), copy.pack())]
        )
        replica.edit([Put("label", f"{pid_key(pid)}/from {name[:2]}", True)])
    for order in (list(shards), list(reversed(shards))):
        catalog = Catalog.empty()
        for name in order:
            catalog.load_document(name, shards[name])
        (record,) = catalog.search("")
        assert (record.size, record.document) == (1, "photos:2024-05")
        assert [label.name for label in record.labels] == ["from ph", "from un"]
        assert [copy.name for copy in catalog.copies(pid)] == ["1.jpg", "2.jpg"]
        assert catalog.count("name:2") == 1


@pytest.mark.parametrize("sorted_in_sql", [-1, 5000])
def test_equal_photos_keep_their_order_when_the_catalog_is_built_anew(
    sorted_in_sql: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.catalog.selection._SORTED_IN_SQL", sorted_in_sql)
    replica = Replica.create(MONTH, new_actor(b"device"))
    facts = PhotoFacts(width=1, height=1, size=1, mime="image/jpeg", wall_clock="2024-05-17T14:03:00").pack()
    pids = [bytes([number]) * 16 for number in (3, 1, 4, 2)]
    catalog = Catalog.empty()
    for pid in pids:
        key = pid_key(pid)
        replica.edit([Put("photo", key, facts), Put("label", f"{key}/dog", True)])
        catalog.update(MONTH, {("photo", key), ("label", f"{key}/dog")}, replica)
    anew = Catalog.empty()
    for pid in sorted(pids):
        anew.update(MONTH, {("photo", pid_key(pid))}, replica)
    for sort in SORT_KEYS:
        for descending in (False, True):
            order = anew.pids("label:dog", sort, descending=descending)
            assert order == sorted(pids, reverse=descending), sort
            assert catalog.pids("label:dog", sort, descending=descending) == order


def test_a_thumbnail_is_found_though_its_bundle_came_first() -> None:
    pid, bundle_id = bytes(16), bytes([7]) * 32
    replica = Replica.create(MONTH, new_actor(b"device"))
    record = BundleRecord(kind="thumb", key=bytes(32), entries=[BundleEntry(pid, 10, 20)])
    catalog = Catalog.empty()
    replica.edit([Put("bundle", bundle_id.hex(), record.pack())])
    catalog.update(MONTH, {("bundle", bundle_id.hex())}, replica)
    facts = PhotoFacts(width=1, height=1, size=1, mime="image/jpeg")
    replica.edit([Put("photo", pid_key(pid), facts.pack())])
    catalog.update(MONTH, {("photo", pid_key(pid))}, replica)
    place = catalog.thumbnail(pid)
    assert place is not None
    assert (place.blob_id, place.offset, place.length) == (bundle_id, 10, 20)
    assert "0000" not in repr(place)


def test_what_touched_a_document_is_told_in_the_order_it_came() -> None:
    catalog = Catalog.empty()
    first, second = bytes([1]) * 32, bytes([2]) * 32
    for device, seq, documents in ((second, 1, [MONTH]), (first, 1, [MONTH, LIBRARY]), (second, 2, [MONTH, MONTH])):
        catalog.note_envelope(device, seq, documents)
        catalog.note_envelope(device, seq, documents)
    assert catalog.documents_touched_since(MONTH, {}) == [(second, 1), (first, 1), (second, 2)]
    assert catalog.documents_touched_since(MONTH, {second: 1}) == [(first, 1), (second, 2)]
    assert catalog.documents_touched_since("photos:1999-01", {}) == []


def test_a_change_that_fails_leaves_the_catalog_as_it_was() -> None:
    class Failing(Replica):
        """A document whose captions cannot be read."""

        def get(self, map_name: str, key: str) -> object:  # type: ignore[override]
            if map_name == "caption":
                raise OSError("the disk is gone")
            return super().get(map_name, key)

    catalog = _catalog([bytes(16)])
    broken = Failing.create(MONTH, new_actor(b"device"))
    with pytest.raises(OSError, match="gone"):
        catalog.update(MONTH, {("rating", pid_key(bytes(16)))}, broken)  # type: ignore[arg-type]
    assert catalog.pids("") == [bytes(16)]


def test_threads_may_share_a_catalog() -> None:
    catalog = _catalog([bytes([number]) * 16 for number in range(50)])
    replica = _shard([bytes([number]) * 16 for number in range(50)])
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(20):
                assert catalog.count("") == len(catalog.search("", "name")) == 50
                catalog.update(MONTH, {("photo", pid_key(bytes([number]) * 16))}, replica)
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at the open files in /proc")
def test_nothing_is_written_to_temporary_files() -> None:
    catalog = Catalog.deserialise(_catalog([bytes([number]) * 16 for number in range(200)]).serialise())
    driver = driver_connection(catalog._connection)
    before = _open_files()
    seen: set[str] = set()

    def look() -> int:
        seen.update(_open_files() - before)
        return 0

    driver.set_progress_handler(look, 50_000)
    # A sort of some 60 MB with half a megabyte of room, then a transaction that changes all it wrote, and is undone.
    driver.execute("PRAGMA cache_size = -500")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i FROM n"
    rows = driver.execute(f"SELECT i, hex(randomblob(500)) AS r FROM ({numbers}) ORDER BY r").fetchall()  # noqa: S608
    assert len(rows) == 60_000
    driver.execute(f"INSERT INTO free_number SELECT i + 1000 FROM ({numbers})")  # noqa: S608
    driver.execute("UPDATE free_number SET id = id + 1000000")
    seen |= _open_files() - before
    driver.rollback()
    driver.set_progress_handler(None, 0)
    assert seen == set()
    assert catalog.count("") == 200


def _open_files() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile, as the one that lists the folder is
            found.add(str(descriptor.readlink()))
    return {path for path in found if path.startswith("/") and not path.startswith("/proc/")}


def test_distances_are_those_along_the_ground() -> None:
    assert ground_km(38.7223, -9.1393, 41.1579, -8.6291) == pytest.approx(274.0, abs=1)
    assert ground_km(0, 0, 0, 180) == pytest.approx(20_015, abs=1)
    assert ground_km(0, 179.99, 0, -179.99) == pytest.approx(2.2, abs=0.1)
    assert ground_km(12.3, 45.6, 12.3, 45.6) == 0


def _shard(pids: list[bytes]) -> Replica:
    replica = Replica.create(MONTH, new_actor(b"device"))
    for pid in pids:
        facts = PhotoFacts(width=4, height=3, size=1, mime="image/jpeg", wall_clock="2024-05-17T14:03:00")
        replica.edit([Put("photo", pid_key(pid), facts.pack())])
    return replica


def _catalog(pids: list[bytes]) -> Catalog:
    catalog = Catalog.empty()
    catalog.load_document(MONTH, _shard(pids))
    return catalog


def test_a_query_may_have_thousands_of_conditions(library: Library, bench: Bench) -> None:
    bench.add_photos(library, 3)
    sizes = [f"size:>{number}" for number in range(1_500)]
    assert library.catalog.count(" ".join(sizes[:100])) == 3
    assert library.catalog.count(" ".join(sizes)) == 0
    assert library.catalog.count("is:favourite " * 2_000) == 0
