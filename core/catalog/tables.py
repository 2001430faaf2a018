"""The tables of the catalog. All is derived: what changes here changes `VERSION`, and old catalogs are built anew.

A photo has a small number (`photo.id`), which the other tables name it by. Texts that repeat (cameras, lenses, media
types, models, documents) are rows of `term`. Tables whose rows are found by their whole key have no row ids: the key
is the table.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

VERSION = 9
"""Of the tables and of how their rows are made from the shards."""

APPLICATION_ID = 0x534C4354
"""`SLCT`: marks a SQLite database as a catalog."""

SCORE_UNIT = 10_000
"""Scores of labels are stored as integers of this part."""

DEGREE_UNIT = 10_000_000
"""Degrees are stored as integers of this part: 1 cm, in half the bytes of a float."""

metadata = MetaData()

term = Table(
    "term",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("kind", "text"),
)

# SQLite reads a row from its left to the column it needs: what has no index and is searched by looking at every row
# comes first, what is only shown comes last.
photo = Table(
    "photo",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("rotation", Integer, nullable=False),
    Column("mime", Integer, nullable=False),  # term
    Column("colours", Integer, nullable=False),  # those that stand out: core.catalog.colours
    Column("looks", Integer, nullable=False),  # what was measured of the picture: core.catalog.looks
    Column("brightness", Integer),  # mean luma in thousandths
    Column("iso", Integer),
    Column("aperture", Integer),  # f-number in thousandths
    Column("focal", Integer),  # micrometres
    Column("motion", Integer),  # milliseconds of video inside the file
    Column("taken_from", Integer, nullable=False),  # a number of core.catalog.records.DateSource
    Column("size", Integer, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("favourite", Integer, nullable=False),
    Column("taken", Integer),  # wall clock, milliseconds since 1970-01-01T00:00; NULL: unknown
    Column("imported", Integer),  # UTC seconds
    Column("trashed", Integer),  # UTC seconds; NULL: not in the trash
    Column("camera", Integer),  # term: make and model
    Column("lens", Integer),  # term
    Column("models", Integer),  # term: who gives it labels, sorted names with spaces between; NULL: it has no label
    Column("latitude", Integer),  # in parts of DEGREE_UNIT
    Column("longitude", Integer),
    Column("document", Integer, nullable=False),  # term: where its facts stand
    Column("taken_offset", Integer),  # minutes from UTC; NULL: unknown
    Column("perceptual_hash", Integer),  # 64 bits, signed
    Column("pid", LargeBinary, nullable=False, unique=True),
    Column("name", Text),  # of the file, the first of its names
    Column("caption", Text),  # NULL: none
    Column("extra", LargeBinary),  # what is shown but never searched: core.catalog.records.Extra, packed
)
# An order of photos ends with their ids, here too: its index is walked, and numbers depend on what came in first.
Index("photo_taken", photo.c.taken, photo.c.pid)
Index("photo_imported", photo.c.imported, photo.c.pid)
Index("photo_size", photo.c.size, photo.c.pid)
Index("photo_name", photo.c.name, photo.c.pid)
Index("photo_rating", photo.c.rating, photo.c.pid)
Index("photo_models", photo.c.models)
Index("photo_looks", photo.c.looks, sqlite_where=photo.c.looks != 0)
Index("photo_favourite", photo.c.favourite, sqlite_where=photo.c.favourite == 1)
Index("photo_captioned", photo.c.taken_from, sqlite_where=photo.c.caption.is_not(None))
Index("photo_trashed", photo.c.trashed, sqlite_where=photo.c.trashed.is_not(None))
Index("photo_place", photo.c.latitude, photo.c.longitude, sqlite_where=photo.c.latitude.is_not(None))
Index("photo_camera", photo.c.camera)
Index("photo_lens", photo.c.lens, sqlite_where=photo.c.lens.is_not(None))

label = Table(
    "label",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # folded
)

label_photo = Table(
    "label_photo",
    metadata,
    Column("label", Integer, nullable=False),
    Column("photo", Integer, nullable=False),
    Column("model", Integer, nullable=False),  # term: who says so; core.catalog.entry.USER, IMPLIED, or a model
    Column("score", Integer, nullable=False),  # in parts of SCORE_UNIT
    PrimaryKeyConstraint("label", "photo", "model"),
    sqlite_with_rowid=False,
)
Index("label_photo_photo", label_photo.c.photo)

rejected = Table(
    "rejected",
    metadata,
    Column("photo", Integer, nullable=False),
    Column("label", Integer, nullable=False),
    PrimaryKeyConstraint("photo", "label"),
    sqlite_with_rowid=False,
)

album = Table(
    "album",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("album_id", Text, nullable=False, unique=True),  # as in the documents
    Column("name", Text),  # NULL: deleted, or not heard of yet
)

album_photo = Table(
    "album_photo",
    metadata,
    Column("album", Integer, nullable=False),
    Column("photo", Integer, nullable=False),
    Column("position", Integer, nullable=False),  # REAL in the documents; SQLite keeps either
    PrimaryKeyConstraint("album", "photo"),
    sqlite_with_rowid=False,
)
Index("album_photo_photo", album_photo.c.photo)

copy = Table(
    "copy",
    metadata,
    Column("photo", Integer, nullable=False),
    Column("blob_id", LargeBinary, nullable=False),
    Column("preview", Integer, nullable=False),  # 0: the file as imported
    Column("blob_key", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("name", Text),
    PrimaryKeyConstraint("photo", "blob_id"),
    sqlite_with_rowid=False,
)

bundle = Table(
    "bundle",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("blob_id", LargeBinary, nullable=False, unique=True),
    Column("blob_key", LargeBinary, nullable=False),
)

thumbnail = Table(
    "thumbnail",
    metadata,
    # By photo id, not number: a bundle can be known before its photos are.
    Column("pid", LargeBinary, nullable=False),
    Column("bundle", Integer, nullable=False),
    Column("document", Integer, nullable=False),  # term
    Column("offset", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    PrimaryKeyConstraint("pid", "bundle", "document"),
    sqlite_with_rowid=False,
)

taught = Table(
    "taught",
    metadata,
    # What the labels that were taught say, by photo id: it stands while the photo's own rows come, go and change.
    Column("pid", LargeBinary, nullable=False),
    Column("label", Integer, nullable=False),
    Column("score", Integer, nullable=False),  # in parts of SCORE_UNIT
    PrimaryKeyConstraint("pid", "label"),
    sqlite_with_rowid=False,
)

vector_bundle = Table(
    "vector_bundle",
    metadata,
    # Which bundles hold vectors; where in them a photo's is, the document says. Few ask, and then of many photos.
    Column("model", Integer, nullable=False),  # term
    Column("document", Integer, nullable=False),  # term
    Column("blob_id", LargeBinary, nullable=False),
    PrimaryKeyConstraint("model", "document", "blob_id"),
    sqlite_with_rowid=False,
)

part = Table(
    "part",
    metadata,
    # What one document says of a photo, kept only where the rows above cannot be made from one document alone: a
    # photo in two documents, purged, or without facts so far.
    Column("pid", LargeBinary, nullable=False),
    Column("document", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),  # core.catalog.entry.PhotoEntry, packed
    PrimaryKeyConstraint("pid", "document"),
    sqlite_with_rowid=False,
)

free_number = Table("free_number", metadata, Column("id", Integer, primary_key=True))
"""Numbers below the highest that no photo has: purged photos' numbers, given out again first."""

library_value = Table(
    "library_value",
    metadata,
    Column("map", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("map", "key"),
    sqlite_with_rowid=False,
)
"""The texts of the `library` document: device names, relays, saved searches, settings, spellings of labels."""

vector = Table(
    "vector",
    metadata,
    Column("device", LargeBinary, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

envelope = Table(
    "envelope",
    metadata,
    # Which envelope touched which document, in the order in which they were taken in.
    Column("id", Integer, primary_key=True),
    Column("document", Integer, nullable=False),  # term
    Column("device", Integer, nullable=False),  # term, in hex
    Column("seq", Integer, nullable=False),
    UniqueConstraint("document", "device", "seq"),
)

# The index of words holds no text: names and captions stand in `photo` and `copy`, cut into words by core.query.words.
# Words come to it separated by spaces; `ascii` leaves everything beyond ASCII alone, so it adds no rule of its own.
CREATE_WORDS = text("CREATE VIRTUAL TABLE words USING fts5(name, caption, content='', columnsize=0, tokenize='ascii')")
words = Table(
    "words", MetaData(), Column("rowid", Integer, primary_key=True), Column("name", Text), Column("caption", Text)
)
"""The full-text index, described for queries; created by `CREATE_WORDS`."""
