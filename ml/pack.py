"""A pack: a model, its labels and its manifest, every byte pinned by SHA-256.

Files are checked when a pack is opened and again whenever their bytes are handed out, from the very bytes that are
then used: nothing is loaded by path after it was checked, and no verdict is remembered.
"""

from __future__ import annotations

import hashlib
import os
import stat
from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from ml import builtin
from ml.errors import (
    KindUnsupported,
    LabelsInvalid,
    ManifestInvalid,
    PackFileChanged,
    PackFileMissing,
    PackNotFound,
    TokensInvalid,
)
from ml.manifest import (
    IMAGENET_1K,
    MANIFEST_NAME,
    MODEL_NAME,
    ImageTextManifest,
    Manifest,
    parse_any_manifest,
    parse_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml.text_tokens import Tokenizer

_CHUNK = 1 << 20
_MAX_LABEL = 500
_MAX_ID = 64
# A link could lead anywhere, and elsewhere tomorrow; a FIFO would block. Windows knows neither flag, and there making a
# link takes privileges.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class PackFiles:
    """The files of an opened pack of any kind. Immutable; safe to share between threads."""

    manifest: Manifest | ImageTextManifest

    def __init__(self, folder: Path, manifest_bytes: bytes, manifest_name: str) -> None:
        """Use ``open``, of a kind of pack."""
        self.folder = folder
        self.manifest_bytes = manifest_bytes
        self.manifest = self._parse(manifest_bytes, manifest_name)
        self.sha256 = hashlib.sha256(manifest_bytes).hexdigest()
        """SHA-256 of the manifest: through the digests it lists, of the whole pack."""

    @staticmethod
    @abstractmethod
    def _parse(data: bytes, name: str) -> Manifest | ImageTextManifest:
        """Read a manifest of this kind of pack."""

    @classmethod
    def open(cls, folder: Path, manifest: Path | None = None) -> Self:
        """Return the pack in ``folder``, described by ``folder/pack.toml`` or by the file ``manifest``.

        Every file listed is read and compared with its SHA-256. Raises PackNotFound, ManifestInvalid, KindUnsupported,
        PackFileMissing, PackFileChanged, and for files that are not what they should be LabelsInvalid or TokensInvalid.
        """
        pack = cls.describe(folder, manifest)
        pack.verify()
        return pack

    @classmethod
    def describe(cls, folder: Path, manifest: Path | None = None) -> Self:
        """Return the pack as ``open`` does, but reading the manifest only; its files are checked when they are read."""
        data, name = _read_manifest(folder, manifest)
        return cls(folder, data, name)

    @property
    def name(self) -> str:
        """The pack's name; also the name of its folder, with the version."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The pack's version."""
        return self.manifest.version

    @property
    def model(self) -> str:
        """``name@version``: how results name the pack that made them."""
        return self.manifest.model

    @property
    def builtin(self) -> bool:
        """Whether this is the pack that ships with Safelight."""
        return self.folder == builtin.BUILTIN_FOLDER

    def size(self) -> int:
        """Bytes of all files."""
        return len(self.manifest_bytes) + sum((self.folder / name).stat().st_size for name in self.manifest.files)

    def verify(self) -> None:
        """Read every file; raises as ``open``."""
        for name in self.manifest.files:
            digest = hashlib.sha256()
            for chunk in self._chunks(name):
                digest.update(chunk)
            self._compare(name, digest.hexdigest())

    def read(self, name: str) -> bytes:
        """Return the bytes of the pack's file ``name``, checked. Raises PackFileMissing and PackFileChanged."""
        data = b"".join(self._chunks(name))
        self._compare(name, hashlib.sha256(data).hexdigest())
        return data

    def model_bytes(self) -> bytes:
        """Return the ONNX file, checked."""
        return self.read(MODEL_NAME)

    def _named(self, name: str) -> str:
        return str(self.folder / name)

    def _chunks(self, name: str) -> Iterator[bytes]:
        path = self.folder / name
        try:
            descriptor = os.open(path, _OPEN_FLAGS)
        except OSError as cause:
            reason = "there is no such file" if isinstance(cause, FileNotFoundError) else "not a plain, readable file"
            raise PackFileMissing(
                f"{path}: {reason}", hint="Every file listed in [files] must lie in the pack's folder itself."
            ) from cause
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PackFileMissing(f"{path}: not a plain file")
            while chunk := os.read(descriptor, _CHUNK):
                yield chunk
        finally:
            os.close(descriptor)

    def _compare(self, name: str, digest: str) -> None:
        if digest != self.manifest.files[name]:
            raise PackFileChanged(
                f"{self._named(name)}: its SHA-256 is {digest}, the manifest says {self.manifest.files[name]}",
                hint="The file is damaged or another one. Get the pack again, or correct the manifest if you made it.",
            )


class Pack(PackFiles):
    """A pack that labels photos: a classifier."""

    manifest: Manifest

    @staticmethod
    def _parse(data: bytes, name: str) -> Manifest:
        return parse_manifest(data, name)

    def verify(self) -> None:
        """Read every file, and the labels for their errors; raises as ``open``."""
        super().verify()
        self.labels()
        self.class_ids()

    def labels(self) -> tuple[str, ...]:
        """Return the labels file's line for each output. Raises LabelsInvalid when their number is another."""
        lines = self._lines(self.manifest.output.labels)
        for number, line in enumerate(lines, start=1):
            if not line and number - 1 != self.manifest.output.background:
                raise LabelsInvalid(f"{self._named(self.manifest.output.labels)}:{number}: the line is empty")
        return lines

    def class_ids(self) -> tuple[str | None, ...] | None:
        """Return the WordNet id (or the id of the pack's own taxonomy) of each output; None where there is none.

        None altogether when the manifest names no ids. For ``wordnet = "imagenet-1k"`` they are not in the pack:
        ``ml.classes`` fills them in.
        """
        output = self.manifest.output
        if output.wordnet is None or output.wordnet == IMAGENET_1K:
            return None
        ids: list[str | None] = []
        seen: dict[str, int] = {}
        for number, line in enumerate(self._lines(output.wordnet), start=1):
            if line in ("", "-") or number - 1 == output.background:
                ids.append(None)
                continue
            if not line.isascii() or len(line) > _MAX_ID or len(line.split()) != 1:
                raise LabelsInvalid(f"{self._named(output.wordnet)}:{number}: {line[:_MAX_ID]!r} is not an id")
            if line in seen:
                raise LabelsInvalid(
                    f"{self._named(output.wordnet)}:{number}: {line} already stands in line {seen[line]}"
                )
            seen[line] = number
            ids.append(line)
        return tuple(ids)

    def _lines(self, name: str) -> tuple[str, ...]:
        try:
            text = self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            raise LabelsInvalid(f"{self._named(name)}: not UTF-8 text", hint="Save the file as UTF-8.") from cause
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        classes = self.manifest.output.classes
        if len(lines) != classes:
            raise LabelsInvalid(
                f"{self._named(name)} has {len(lines)} lines; the manifest declares {classes} classes",
                hint="One line for each output of the model, in its order, the background's included.",
            )
        for number, line in enumerate(lines, start=1):
            if not line.isprintable() or len(line) > _MAX_LABEL:
                raise LabelsInvalid(
                    f"{self._named(name)}:{number}: the line has characters that cannot be shown, or is too long"
                )
        return tuple(line.strip() for line in lines)


class ImageTextPack(PackFiles):
    """A pack that finds photos by descriptions: an encoder of pictures, and one of texts."""

    manifest: ImageTextManifest

    @staticmethod
    def _parse(data: bytes, name: str) -> ImageTextManifest:
        manifest = parse_any_manifest(data, name)
        if not isinstance(manifest, ImageTextManifest):
            raise KindUnsupported(
                f"{manifest.model} labels photos; it cannot find them by descriptions",
                hint='That takes a pack of kind "image-text": docs/models.md says how to bring one.',
            )
        return manifest

    def verify(self) -> None:
        """Read every file, and the tokenizer's for their errors; raises as ``open``."""
        super().verify()
        self.tokenizer()

    def tokenizer(self) -> Tokenizer:
        """Read the vocabulary and its merges. Raises TokensInvalid."""
        from ml.text_tokens import Tokenizer

        text = self.manifest.text
        tokenizer = Tokenizer(
            self.read(text.vocabulary),
            self.read(text.merges),
            vocabulary_name=self._named(text.vocabulary),
            merges_name=self._named(text.merges),
        )
        if text.padding >= tokenizer.size:
            raise TokensInvalid(
                f"{self._named(text.vocabulary)}: has no token {text.padding}, with which the manifest fills texts up"
            )
        return tokenizer


AnyPack = Pack | ImageTextPack


def open_pack(folder: Path, manifest: Path | None = None) -> AnyPack:
    """Return the pack in ``folder``, of whatever kind; see ``PackFiles.open``."""
    pack = describe_pack(folder, manifest)
    pack.verify()
    return pack


def describe_pack(folder: Path, manifest: Path | None = None) -> AnyPack:
    """Return the pack in ``folder``, of whatever kind; see ``PackFiles.describe``."""
    data, name = _read_manifest(folder, manifest)
    kind = ImageTextPack if isinstance(parse_any_manifest(data, name), ImageTextManifest) else Pack
    return kind(folder, data, name)


def _read_manifest(folder: Path, manifest: Path | None) -> tuple[bytes, str]:
    path = manifest if manifest is not None else folder / MANIFEST_NAME
    try:
        return path.read_bytes(), str(path)
    except FileNotFoundError as cause:
        raise PackNotFound(
            f"{path}: there is no such file",
            hint="A pack needs a pack.toml: `safelight model draft FOLDER > FOLDER/pack.toml` makes a first one.",
        ) from cause
    except OSError as cause:
        raise ManifestInvalid(f"cannot be read: {cause.strerror}", source=str(path), line=None) from cause


def builtin_pack() -> Pack:
    """Return the pack that ships with Safelight. Raises PackNotFound when this installation lacks it."""
    return Pack.open(builtin.builtin_folder())
