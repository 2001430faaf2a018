"""What an import refuses, beneath `core.errors.ImportRefused`.

    ImportRefused
    ├── FileRefused      one file cannot become a photo; its message is the reason that the user reads
    ├── XmpRefused       metadata that no honest program writes; the photo itself is imported
    └── WorkerBroken     no worker process can be started, so nothing can be imported

Reasons never contain paths or anything read from the photo: they are also kept by callers who log.
"""

from __future__ import annotations

from core.errors import ImportRefused


class FileRefused(ImportRefused):
    """One file cannot become a photo: damaged, over a limit, or of a kind that is not read."""

    name = "file-refused"


class XmpRefused(ImportRefused):
    """The packet is no XML, declares entities, or is larger or deeper than any real one."""

    name = "xmp-refused"


class WorkerBroken(ImportRefused):
    """A worker process does not start, or not with this model."""

    name = "worker-broken"
