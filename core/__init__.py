"""The library itself: store, catalog, query language, import, export. It composes `crypto`, `crdt` and `ml`.

`core` is synchronous; worker threads and processes stand behind it. It does not know how anything is shown.
"""
