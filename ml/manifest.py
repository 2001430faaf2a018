"""``pack.toml``: what a pack says of itself.

The format is described, key by key, in docs/models.md. Reading is strict, because the mistakes it catches (a mean on
the 0-1 scale, RGB for BGR, probabilities called logits) otherwise show as slightly wrong labels and never as an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ml.errors import KindUnsupported, ManifestInvalid
from ml.toml_source import KeyPath, TomlSource

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_NAME = "pack.toml"
MODEL_NAME = "model.onnx"
IMAGENET_CLASSES = 1000
IMAGENET_1K = "imagenet-1k"
"""Value of ``wordnet`` that means: the 1,000 ImageNet classes, in the order of their WordNet ids."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(?<![.])")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,31}(?<![.])")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}(?<![.])")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Device names of Windows: a folder or file called so cannot be made there, whatever its suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)

Crop = Literal["centre", "whole"]
Side = Annotated[int, msgspec.Meta(ge=8, le=4096)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a photo becomes the model's input tensor."""

    name: Text
    size: Side
    """Side S of the square the model sees, pixels."""
    layout: Literal["NCHW", "NHWC"]
    colour: Literal["RGB", "BGR"]
    dtype: Literal["float32", "float16", "uint8"]
    resize: Literal["bilinear", "bicubic"] = "bilinear"
    shorter_side: Side | None = None
    """The photo's shorter side before the crop, pixels; None means round(S / 0.875)."""
    crop: Crop | Annotated[tuple[Crop, ...], msgspec.Meta(min_length=1, max_length=2)] = "centre"
    """What of the photo the model sees: a square of its centre, or the whole of it pressed into a square; of several,
    the mean of the answers counts."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted per channel, in the order of ``colour``, on the scale 0-255."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divided by per channel, in the order of ``colour``, on the scale 0-255."""

    @property
    def shorter(self) -> int:
        """The shorter side before the crop, pixels."""
        return self.shorter_side if self.shorter_side is not None else round(self.size / 0.875)

    @property
    def crops(self) -> tuple[Crop, ...]:
        """What of the photo the model sees, one after the other."""
        return (self.crop,) if isinstance(self.crop, str) else self.crop


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model's outputs mean."""

    name: Text
    kind: Literal["logits", "probabilities"]
    classes: Annotated[int, msgspec.Meta(ge=2, le=100_000)]
    labels: Text
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Probabilities (or logits) are output times scale: 1/256 for a uint8 output, for example."""
    background: Annotated[int, msgspec.Meta(ge=-1)] = -1
    """Index of the class that means "nothing I know", or -1."""
    wordnet: Text | None = None
    embedding: Text | None = None
    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    """Logits are divided by it before the softmax: calibrates, never reorders."""
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None


class EmbeddingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the image encoder of an image-text pack gives."""

    embedding: Text
    """Name of the output ``[N, D]``."""


class TextSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text encoder of an image-text pack, and its tokenizer."""

    model: Text
    """File of the pack."""
    name: Text
    """Of the input with the token ids, ``[N, context]``."""
    dtype: Literal["int64", "int32"] = "int64"
    context: Annotated[int, msgspec.Meta(ge=3, le=4096)]
    mask: Text | None = None
    """Name of an input that has 1 where a token is the text's own, if the model has one."""
    embedding: Text
    """Name of the output ``[N, D]``, of the same D as the pictures'."""
    vocabulary: Text
    """File of the pack, ``vocab.json``."""
    merges: Text
    """File of the pack, ``merges.txt``."""
    padding: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)] = 0
    """Token id that shorter texts are filled up with."""


class ManifestHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifests of all kinds of packs say."""

    format: Literal[1]
    name: str
    version: str
    licence: Text
    source: Text
    files: dict[str, str]
    """File name to SHA-256, lower-case hex."""
    input: InputSpec

    @property
    def model(self) -> str:
        """``name@version``: how results name the pack that made them."""
        return f"{self.name}@{self.version}"


class Manifest(ManifestHead, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A labelling pack's description; ``load_manifest`` makes one that is known to be consistent."""

    kind: Literal["classifier"]
    taxonomy: Text | None = None
    output: OutputSpec


class ImageTextManifest(ManifestHead, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image-text pack's description: pictures and texts become vectors of one space."""

    kind: Literal["image-text"]
    output: EmbeddingSpec
    text: TextSpec


def load_manifest(path: Path) -> Manifest | ImageTextManifest:
    """Read the manifest at ``path``.

    Raises ManifestInvalid (with file and line), KindUnsupported for a kind this version cannot run, and OSError when
    the file cannot be read.
    """
    return parse_any_manifest(path.read_bytes(), str(path))


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Return the labelling pack's manifest in ``data``; ``source`` is how errors name it. Raises as ``load_manifest``.

    For the manifest of an image-text pack, KindUnsupported: such a pack has no labels.
    """
    manifest = parse_any_manifest(data, source)
    if isinstance(manifest, ImageTextManifest):
        raise KindUnsupported(
            f"{manifest.model} is an image-text pack: it finds photos by descriptions, and has no labels",
            hint="Choose a classifier to label photos: `safelight model list` shows the packs.",
        )
    return manifest


def parse_any_manifest(data: bytes, source: str) -> Manifest | ImageTextManifest:
    """Return the manifest in ``data``, of whatever kind. Raises as ``load_manifest``."""
    toml = TomlSource(data, source, ManifestInvalid)
    form = toml.values.get("format", 1)
    if form != 1:
        # Python writes no number of thousands of digits.
        shown = "its format" if isinstance(form, int) and form.bit_length() >= 64 else f"format {form!r:.80}"  # noqa: PLR2004
        raise toml.invalid(
            f"{shown} is not known here",
            ("format",),
            hint="This version reads format = 1; a newer Safelight may read the pack.",
        )
    kind = toml.values.get("kind")
    if kind == "faces":
        raise KindUnsupported(
            f'{source}: packs of kind "{kind}" cannot be used yet',
            hint='This version runs kind = "classifier" and kind = "image-text".',
        )
    if kind == "image-text":
        described = toml.convert(ImageTextManifest)
        _check_names(described, toml)
        _check_input(described.input, toml)
        _check_text(described, toml)
        return described
    manifest = toml.convert(Manifest)
    _check_names(manifest, toml)
    _check_input(manifest.input, toml)
    _check_output(manifest, toml)
    return manifest


def is_safe_file_name(name: str) -> bool:
    """Whether ``name`` may be a pack's file: one plain name, the same on every platform, and not the manifest's."""
    return bool(_FILE_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name) and name.lower() != MANIFEST_NAME


def is_pack_name(name: str) -> bool:
    """Whether ``name`` can name a pack, and therefore a folder."""
    return bool(_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name)


def is_pack_version(version: str) -> bool:
    """Whether ``version`` can be a pack's version."""
    return bool(_VERSION.fullmatch(version))


def _check_names(manifest: Manifest | ImageTextManifest, toml: TomlSource) -> None:
    if not is_pack_name(manifest.name):
        raise toml.invalid(
            f'"{manifest.name}" cannot name a pack',
            ("name",),
            hint="Use up to 64 lower-case letters, digits, dots, dashes and underscores; a folder is named after it.",
        )
    if not is_pack_version(manifest.version):
        raise toml.invalid(f'"{manifest.version}" cannot be a version', ("version",), hint='For example "1.0.0".')
    for key, text in _shown_texts(manifest):
        # These are shown in terminals, where an escape sequence could hide or forge what is on the screen.
        if not text.isprintable():
            raise toml.invalid(f'"{key[-1]}" has characters that cannot be shown', key)
    seen: set[str] = set()
    for name, digest in manifest.files.items():
        if not is_safe_file_name(name):
            raise toml.invalid(
                f'"{name}" cannot be a file of a pack',
                ("files", name),
                hint="Plain names only, without folders: letters, digits, dots, dashes and underscores.",
            )
        if name.lower() in seen:
            raise toml.invalid(f'"{name}" is listed twice but for its case', ("files", name))
        seen.add(name.lower())
        if not _SHA256.fullmatch(digest):
            raise toml.invalid(
                f'the SHA-256 of "{name}" is not 64 lower-case hex digits',
                ("files", name),
                hint=f"`sha256sum {name}` prints it.",
            )
    if MODEL_NAME not in manifest.files:
        raise toml.invalid(f'[files] does not list "{MODEL_NAME}"', ("files",))


def _shown_texts(manifest: Manifest | ImageTextManifest) -> list[tuple[KeyPath, str]]:
    texts: list[tuple[KeyPath, str]] = [
        (("licence",), manifest.licence),
        (("source",), manifest.source),
        (("input", "name"), manifest.input.name),
    ]
    if isinstance(manifest, Manifest):
        return [*texts, (("output", "name"), manifest.output.name)]
    return [
        *texts,
        (("output", "embedding"), manifest.output.embedding),
        (("text", "name"), manifest.text.name),
        (("text", "mask"), manifest.text.mask or ""),
        (("text", "embedding"), manifest.text.embedding),
    ]


def _check_input(spec: InputSpec, toml: TomlSource) -> None:
    if spec.shorter < spec.size:
        raise toml.invalid(
            f"shorter_side {spec.shorter} is less than size {spec.size}: the crop would reach past the photo",
            ("input", "shorter_side"),
        )
    if not all(0 < value < float("inf") for value in spec.std):
        raise toml.invalid("std must be three positive numbers", ("input", "std"))
    if not all(abs(value) < float("inf") for value in spec.mean):
        raise toml.invalid("mean must be three numbers", ("input", "mean"))
    if len(set(spec.crops)) < len(spec.crops):
        raise toml.invalid("the same crop is named twice", ("input", "crop"))
    if spec.dtype == "uint8" and (any(spec.mean) or any(value != 1 for value in spec.std)):
        key = ("input", "mean") if any(spec.mean) else ("input", "std")
        raise toml.invalid(
            "a uint8 input takes the raw bytes of the photo: mean and std do not apply",
            key,
            hint="Leave mean and std away; quantised models carry the rule inside.",
        )


def _check_output(manifest: Manifest, toml: TomlSource) -> None:
    output = manifest.output
    if output.background >= output.classes:
        raise toml.invalid(
            f"background {output.background} is not one of the {output.classes} outputs", ("output", "background")
        )
    if not output.scale < float("inf"):
        raise toml.invalid("scale must be a positive number", ("output", "scale"))
    if output.kind == "probabilities" and output.temperature != 1:
        raise toml.invalid("temperature applies to logits only", ("output", "temperature"))
    if output.labels not in manifest.files:
        raise toml.invalid(f'"{output.labels}" is not listed in [files]', ("output", "labels"))
    if output.wordnet is not None and output.wordnet not in {IMAGENET_1K, *manifest.files}:
        raise toml.invalid(
            f'"{output.wordnet}" is not listed in [files]',
            ("output", "wordnet"),
            hint=f'Name a file of the pack, or "{IMAGENET_1K}".',
        )
    named = output.classes - (output.background >= 0)
    if output.wordnet == IMAGENET_1K and named != IMAGENET_CLASSES:
        raise toml.invalid(
            f'wordnet = "{IMAGENET_1K}" needs 1,000 classes besides the background; there are {named}',
            ("output", "wordnet"),
        )
    if manifest.taxonomy is not None and "." in manifest.taxonomy and manifest.taxonomy not in manifest.files:
        raise toml.invalid(f'"{manifest.taxonomy}" is not listed in [files]', ("taxonomy",))
    if manifest.taxonomy is not None and output.wordnet is None:
        raise toml.invalid(
            "a taxonomy needs the classes' ids",
            ("taxonomy",),
            hint='Add [output] wordnet = "…": a file with one id a line.',
        )


def _check_text(manifest: ImageTextManifest, toml: TomlSource) -> None:
    text = manifest.text
    if len(manifest.input.crops) > 1:
        raise toml.invalid(
            "an image-text pack looks at one crop: the mean of two vectors is the vector of neither",
            ("input", "crop"),
        )
    for key, name in (("model", text.model), ("vocabulary", text.vocabulary), ("merges", text.merges)):
        if name not in manifest.files:
            raise toml.invalid(f'"{name}" is not listed in [files]', ("text", key))
    if text.model == MODEL_NAME:
        raise toml.invalid(
            f'"{MODEL_NAME}" is the encoder of pictures',
            ("text", "model"),
            hint="The encoder of texts is a file of its own.",
        )
