"""What can go wrong with packs and models.

::

    MlError
    ├── ManifestInvalid        pack.toml cannot be used; names file and line
    ├── TaxonomyInvalid        a taxonomy cannot be used; names file and line
    ├── CalibrationInvalid     a calibration cannot be used; names file and line
    ├── PackError
    │   ├── PackNotFound       no such pack is installed
    │   ├── PackExists         another pack of that name and version is installed
    │   ├── PackFileMissing    a file named in [files] is absent, or not a plain file
    │   ├── PackFileChanged    a file is not the one its SHA-256 names
    │   ├── LabelsInvalid      labels.txt or the WordNet file does not fit the manifest
    │   ├── TokensInvalid      vocab.json or merges.txt cannot be used
    │   ├── KindUnsupported    a pack of a kind this version cannot run
    │   └── DownloadFailed     the download was refused, cut off, or is another file
    ├── ModelError
    │   ├── NotOnnx            the file is not an ONNX model
    │   ├── ExternalDataRefused  the model reads a file that is not one of the pack's
    │   ├── OperatorRefused    the model needs code that Safelight does not ship
    │   ├── ModelMismatch      inputs or outputs are not as the manifest declares
    │   ├── ModelUnusable      ONNX Runtime cannot load or run it
    │   └── OutputInvalid      it ran, and what came out cannot be probabilities
    ├── NothingToEvaluate      no photo in the folder has a name the pack knows
    └── NothingToLearn         a label cannot be learnt from these examples

Each says what happened and to which thing; ``hint`` says what to do next.
"""

from __future__ import annotations


class MlError(Exception):
    """Anything this package refuses; ``hint`` is one sentence on what to do next, or None."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the message and its hint."""
        super().__init__(message)
        self.hint = hint


class _SourceError(MlError):
    """A mistake in a text file; the message begins with ``file:line:``, so editors can jump to it."""

    def __init__(self, message: str, *, source: str, line: int | None, hint: str | None = None) -> None:
        """``line`` counts from 1; None when the mistake is in no particular line."""
        where = source if line is None else f"{source}:{line}"
        super().__init__(f"{where}: {message}", hint=hint)
        self.source = source
        self.line = line


class ManifestInvalid(_SourceError):
    """pack.toml cannot be used."""


class TaxonomyInvalid(_SourceError):
    """A taxonomy cannot be used."""


class CalibrationInvalid(_SourceError):
    """A calibration cannot be used."""


class PackError(MlError):
    """Something about a pack's files."""


class PackNotFound(PackError):
    """No such pack is installed."""


class PackExists(PackError):
    """Another pack of that name and version is installed."""


class PackFileMissing(PackError):
    """A file named in ``[files]`` is absent, or not a plain file."""


class PackFileChanged(PackError):
    """A file is not the one its SHA-256 names."""


class LabelsInvalid(PackError):
    """The labels or the WordNet ids do not fit the manifest."""


class TokensInvalid(PackError):
    """The vocabulary or the merges of a text encoder cannot be used."""


class KindUnsupported(PackError):
    """The pack is of a kind this version cannot run."""


class DownloadFailed(PackError):
    """The download was refused, cut off, or is another file than the pinned one."""


class ModelError(MlError):
    """Something about an ONNX file."""


class NotOnnx(ModelError):
    """The file is not an ONNX model."""


class ExternalDataRefused(ModelError):
    """The model reads a file that is not one of the pack's own."""


class OperatorRefused(ModelError):
    """The model needs operators that live in a library Safelight does not load."""


class ModelMismatch(ModelError):
    """The model's inputs or outputs are not what the manifest declares."""


class ModelUnusable(ModelError):
    """ONNX Runtime cannot load or run the model."""


class OutputInvalid(ModelError):
    """The model ran, and what came out cannot be probabilities."""


class NothingToEvaluate(MlError):
    """No photo below the folder has a name the pack knows."""


class NothingToLearn(MlError):
    """A label cannot be learnt from these examples."""


def from_another_process(name: str, message: str, hint: str | None) -> MlError:
    """Return the error that a process of ours told of by the name of its class: of a pack or a model, else MlError."""
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, PackError | ModelError):
        return kind(message, hint=hint)
    return MlError(message, hint=hint)
