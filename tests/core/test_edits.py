"""Edits as people make them, their history, and taking them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import commit, edits, history
from core.errors import InvalidEdit, NoSuchAlbum, NoSuchPhoto, NothingToUndo
from crdt.documents import LIBRARY
from crdt.operations import Put
from crdt.records import AutoRecord
from crdt.schema import auto_key, label_key, pid_key

if TYPE_CHECKING:
    from core.catalog import PhotoRecord
    from core.library import Library
    from tests.core.conftest import Bench

MAY = "photos:2024-05"


def photo(library: Library, pid: bytes) -> PhotoRecord:
    found = library.catalog.photo(pid)
    assert found is not None
    return found


def names(library: Library, pid: bytes) -> list[str]:
    return [label.name for label in photo(library, pid).labels]


def test_labels_are_added_and_removed_in_any_spelling(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 3)
    edits.add_label(library, pids, "Straße")
    assert names(library, pids[0]) == ["strasse"]
    edits.remove_label(library, pids[:1], "STRASSE")
    assert names(library, pids[0]) == []
    assert library.replica_get(MAY, "label", label_key(pids[0], "strasse")) is None
    for refused in ("", "  ", "x" * 300, "bell\a"):
        with pytest.raises(InvalidEdit):
            edits.add_label(library, pids, refused)


def test_a_label_a_model_gives_is_rejected_not_deleted(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 1)
    model = "m@1"
    library.commit(
        {MAY: [Put("auto", auto_key(pids[0], model), AutoRecord.of([(1, 0.9)]).pack())]}, action="tag", summary="tagged"
    )
    edits.add_label(library, pids, "dog")
    edits.remove_label(library, pids, "dog")
    state = library.replica_get(MAY, "label", label_key(pids[0], "dog"))
    assert state is (False if library.catalog.has_automatic_label(pids[0], "dog") else None)


def test_every_simple_fact_is_set_and_shown(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2)
    edits.set_caption(library, pids, "  at the lake  ")
    edits.set_rating(library, pids, 4)
    edits.set_favourite(library, pids, favourite=True)
    edits.set_rotation(library, pids, 90)
    edits.set_taken(library, pids, "2023-01-02T03:04:05+02:00")
    shown = photo(library, pids[1])
    assert (shown.caption, shown.rating, shown.favourite, shown.rotation) == ("at the lake", 4, True, 90)
    assert (shown.taken, shown.offset_minutes) == ("2023-01-02T03:04:05", 120)
    assert shown.document == MAY, "a correction never moves a photo"
    edits.set_taken(library, pids, None)
    edits.set_caption(library, pids, "")
    shown = photo(library, pids[0])
    assert shown.taken is not None
    assert shown.taken.startswith("2024-05-01")
    assert shown.caption == ""


@pytest.mark.parametrize(
    "taken",
    [
        "yesterday",
        "2023-02-30T10:00:00",
        "0000-01-01T00:00:00",
        "2023-13-01T00:00:00",
        "2023-01-01",
        "2023-01-01T25:00:00",
        "",
    ],
)
def test_a_date_that_is_none_is_refused(library: Library, bench: Bench, taken: str) -> None:
    with pytest.raises(InvalidEdit):
        edits.set_taken(library, bench.add_photos(library, 1), taken)


def test_values_outside_their_bounds_are_refused(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 1)
    for rating in (-1, 6, True):
        with pytest.raises(InvalidEdit):
            edits.set_rating(library, pids, rating)
    with pytest.raises(InvalidEdit):
        edits.set_rotation(library, pids, 45)
    with pytest.raises(InvalidEdit):
        edits.set_caption(library, pids, "x" * 10_000)
    with pytest.raises(InvalidEdit):
        edits.create_album(library, " ")


def test_an_unknown_photo_changes_nothing_for_the_others(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 1)
    with pytest.raises(NoSuchPhoto) as unknown:
        edits.set_rating(library, [*pids, b"x" * 16], 3)
    assert unknown.value.hint
    assert photo(library, pids[0]).rating == 0


def test_albums_keep_the_order_in_which_photos_were_put_in(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 4)
    album = edits.create_album(library, "Lisbon")
    edits.add_to_album(library, [pids[2], pids[0]], album)
    edits.add_to_album(library, [pids[3], pids[2], pids[1]], album)
    assert library.catalog.album_pids(album) == [pids[2], pids[0], pids[3], pids[1]]
    edits.remove_from_album(library, [pids[0]], album)
    edits.rename_album(library, album, "Lisboa")
    assert photo(library, pids[3]).albums == ("Lisboa",)
    edits.delete_album(library, album)
    assert photo(library, pids[3]).albums == ()
    with pytest.raises(NoSuchAlbum):
        edits.add_to_album(library, pids, album)


def test_the_trash_hides_and_gives_back(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2)
    edits.trash(library, pids[:1])
    deleted = photo(library, pids[0]).trashed_at
    assert edits.trash(library, pids[:1]).seq is None
    assert photo(library, pids[0]).trashed_at == deleted
    assert library.catalog.pids("") == [pids[1]]
    edits.restore(library, pids[:1])
    assert library.catalog.count("") == 2


def test_a_purged_photo_s_thumbnail_is_out_of_reach(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2, blobs=True)
    edits.purge(library, [pids[0]])
    assert library.catalog.thumbnail(pids[0]) is None
    with pytest.raises(NoSuchPhoto):
        edits.set_rating(library, [pids[0]], 1)
    assert history.undo(library).action == "import"
    with pytest.raises(NothingToUndo):
        history.undo(library)
    assert library.replica_get(MAY, "purged", pid_key(pids[0])) is True


def test_history_tells_newest_first_what_was_done(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 3)
    edits.add_label(library, pids, "lake")
    edits.set_rating(library, pids[:1], 5)
    told = list(history.entries(library))
    assert [entry.action for entry in told] == ["rate", "label.add", "import", "init"]
    assert "lake" in told[1].summary
    assert "3 photos" in told[1].summary
    assert told[2].photos_added == 3
    assert {entry.device for entry in told} == {library.device_id}
    assert [entry.action for entry in history.entries(library, limit=2)] == ["rate", "label.add"]


def test_undo_goes_back_one_edit_at_a_time(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2)
    edits.set_rating(library, pids[:1], 2)
    edits.set_rating(library, pids, 4)
    edits.add_label(library, pids, "lake")
    assert history.undo(library).action == "label.add"
    assert names(library, pids[0]) == []
    receipt = history.undo(library)
    assert (receipt.restored, receipt.kept) == (2, 0)
    assert [photo(library, pid).rating for pid in pids] == [2, 0]
    history.undo(library)
    assert photo(library, pids[0]).rating == 0
    assert [entry.undone for entry in history.entries(library)] == [False, False, False, True, True, True, False, False]


def test_undo_leaves_alone_what_changed_since(bench: Bench) -> None:
    with bench.open() as one, bench.open() as two:
        pids = bench.add_photos(one, 2)
        edits.set_caption(one, pids, "mine")
        group = next(history.entries(one)).group
        edits.set_caption(two, pids[:1], "somebody's")
        assert next(history.entries(two)).group != group
        history.undo(two)
        assert photo(two, pids[0]).caption == "mine"
        edits.set_caption(two, pids[:1], "again")
        two.commit({MAY: [Put("rating", pid_key(pids[0]), 1)]}, action="rate", summary="no undo", inverse=False)
        history.undo(one)
        receipt = history.undo(one)
        assert (receipt.restored, receipt.kept) == (2, 0)


def test_an_undo_that_finds_nothing_to_put_back_lets_the_next_one_go_further_back(bench: Bench) -> None:
    """What it was about was purged, or was changed by another device since."""
    with bench.open() as one, bench.open() as two:
        pids = bench.add_photos(one, 2)
        edits.set_rating(one, pids[:1], 2)
        lone = bench.add_photos(one, 1, seed="purged")
        edits.set_caption(one, pids[:1], "mine")
        edits.purge(one, lone)
        two.commit({MAY: [Put("caption", pid_key(pids[0]), "theirs")]}, action="x", summary="x", inverse=False)
        taken = [history.undo(one) for _ in range(4)]
        assert [(receipt.action, receipt.restored + receipt.trashed) for receipt in taken] == [
            ("caption", 0),
            ("import", 0),
            ("rate", 1),
            ("import", 2),
        ]
        assert photo(two, pids[0]).caption == "theirs"
        with pytest.raises(NothingToUndo):
            history.undo(one)


def test_undo_of_an_edit_over_which_another_was_made_keeps_the_later(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2)
    edits.set_caption(library, pids, "first")
    library.commit({MAY: [Put("caption", pid_key(pids[0]), "sync")]}, action="x", summary="x", inverse=False)
    receipt = history.undo(library)
    assert (receipt.restored, receipt.kept) == (1, 1)
    assert [photo(library, pid).caption for pid in pids] == ["sync", ""]


def test_undo_of_an_import_moves_its_photos_to_the_trash(library: Library, bench: Bench) -> None:
    before = bench.add_photos(library, 1, seed="before")
    group = b"g" * 16
    pids = []
    for month in ("2024-06", "2024-07"):
        pids += bench.add_photos(library, 2, month=month, group=group)
        edits.set_rating(library, before, len(pids))
    history.undo(library)
    receipt = history.undo(library)
    assert (receipt.action, receipt.trashed) == ("import", 4)
    assert history.undo(library).action == "rate"
    assert library.catalog.pids("") == before
    assert sorted(library.catalog.pids("is:trash")) == sorted(pids)
    assert history.undo(library).trashed == 1
    with pytest.raises(NothingToUndo):
        history.undo(library)


def test_undo_takes_back_all_envelopes_of_a_large_edit(
    library: Library, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PIECE_OPERATIONS", 100)
    pids = bench.add_photos(library, 350)
    edits.set_favourite(library, pids, favourite=True)
    assert library.log.count() > 10
    assert [entry.action for entry in history.entries(library)] == ["favourite", "import", "init"]
    assert history.undo(library).restored == 350
    assert library.catalog.count("is:favourite") == 0


def test_settings_and_albums_are_undone_too(library: Library) -> None:
    library.set_setting("theme", "dark")
    library.set_setting("theme", "light")
    history.undo(library)
    assert library.setting("theme") == "dark"
    history.undo(library)
    assert library.setting("theme") is None
    album = edits.create_album(library, "Lisbon")
    history.undo(library)
    assert library.replica_get(LIBRARY, "album", album) is None
