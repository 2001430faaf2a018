"""Write the vectors of `core-*.json` that are made here, of `wire-*.json` and of `ml-*.json` to tests/vectors.

    python -P -m tests.formats.make_vectors

Run it only to add cases: vectors that exist are the formats, and a change to them is a change of version. A test
compares what this writes with what is kept.
"""

from __future__ import annotations

from tests.formats import core_vectors, pack_vectors, wire_vectors
from tests.formats.vector_cases import FOLDER

FILES = {**core_vectors.FILES, **wire_vectors.FILES, **pack_vectors.FILES}


def main() -> None:
    """Write every file."""
    for name, made in FILES.items():
        (FOLDER / f"{name}.json").write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
