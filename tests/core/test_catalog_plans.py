"""What is asked often is answered by an index: looking at every row is for what has none, and never for labels."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from core.catalog import Catalog
from core.catalog.connection import driver_connection
from core.catalog.labels import NoLabeller
from crdt.operations import Put
from crdt.records import PhotoFacts
from crdt.replica import Replica, new_actor

MONTH = "photos:2024-05"


@pytest.fixture
def catalog() -> Catalog:
    replica = Replica.create(MONTH, new_actor(b"device"))
    facts = PhotoFacts(
        width=4, height=3, size=1, mime="image/jpeg", wall_clock="2024-05-17T14:03:00", make="Canon", lens="50mm"
    ).pack()
    for number in range(20):
        key = (bytes([number]) * 16).hex()
        labels = [Put("label", f"{key}/{name}", True) for name in ("dog", "cat")]
        replica.edit([Put("photo", key, facts), Put("album", f"{key}/a1", 1.0), *labels])
    catalog = Catalog.empty(NoLabeller())
    catalog.load_document(MONTH, replica)
    return catalog


def plans(catalog: Catalog, query: str, sort: str = "taken") -> list[str]:
    """Return what SQLite does for each statement that a search of ten photos needs."""
    asked: list[tuple[str, tuple[object, ...]]] = []
    engine = catalog._connection.engine

    def note(_connection: object, _cursor: object, statement: str, parameters: tuple[object, ...], *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        catalog.search(query, sort, limit=10)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    driver = driver_connection(catalog._connection)
    return [row[3] for statement, values in asked for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


@pytest.mark.parametrize(
    ("query", "step"),
    [
        ("label:dog", "SEARCH label_photo USING PRIMARY KEY (label=?"),
        ("date:2024-05", "USING COVERING INDEX photo_taken (taken>? AND taken<?)"),
        ("imported:2024", "USING COVERING INDEX photo_imported"),
        ("size:>2MB", "USING COVERING INDEX photo_size"),
        ("rating:>=3", "USING COVERING INDEX photo_rating"),
        ("camera:canon", "USING COVERING INDEX photo_camera (camera=?"),
        ("lens:50mm", "USING COVERING INDEX photo_lens (lens=?"),
        ("near:38.7,-9.1,10km", "USING COVERING INDEX photo_place (latitude>? AND latitude<?)"),
        ("has:gps", "USING COVERING INDEX photo_place"),
        ("has:caption", "USING INDEX photo_captioned"),
        ("is:favourite", "USING COVERING INDEX photo_favourite"),
        ("is:blurry", "USING COVERING INDEX photo_looks"),
        ("is:trash", "USING COVERING INDEX photo_trashed"),
        ("is:labelled", "USING COVERING INDEX photo_models (models=?"),
        ("id:0a", "USING COVERING INDEX sqlite_autoindex_photo_1 (pid>? AND pid<?)"),
        ("word", "SCAN words VIRTUAL TABLE INDEX"),
    ],
)
def test_a_term_is_answered_by_its_index(catalog: Catalog, query: str, step: str) -> None:
    found = plans(catalog, query)
    assert any(step in one for one in found), found
    assert not any(one.startswith("SCAN photo") and "INDEX" not in one for one in found), found


def test_terms_that_may_fit_half_of_all_photos_are_answered_in_one_pass(catalog: Catalog) -> None:
    found = plans(catalog, "type:jpeg size:>2MB")
    assert "SCAN photo" in found, found
    assert not any("photo_size" in one and "SEARCH" in one for one in found), found


@pytest.mark.parametrize("sort", ["taken", "imported", "size", "name", "rating"])
def test_an_order_is_walked_along_its_index(catalog: Catalog, sort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.catalog.selection._SORTED_IN_SQL", -1)
    found = plans(catalog, "", sort)
    assert any(f"SCAN photo USING COVERING INDEX photo_{sort}" in one for one in found), found


def test_labels_are_counted_in_one_pass(catalog: Catalog) -> None:
    assert catalog.label_counts() == {"cat": 20, "dog": 20}
    engine = catalog._connection.engine
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *parts: asked.append(parts[2]))
    catalog._counted_labels = None
    catalog.label_counts()
    driver = driver_connection(catalog._connection)
    values = [1] * asked[0].count("?")
    steps = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {asked[0]}", values)]
    assert steps[0] == "SCAN given", steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
