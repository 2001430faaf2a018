"""Labels by words alone: a name, and texts that describe what it means; photos that fit one for sure have the label.

The words are a setting of the library and sync. Which photos they fit is worked out by each device that has the
image-text pack, from the vectors that are stored: photos of ten years ago get the label too. The user's own word on a
photo stands above it. The photos stand in the catalog beside what was taught by examples (`core.teaching`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.active_model import TEXT_PACK_SETTING, text_model
from core.catalog.library_document import TAUGHT_MAP, WORDS_PREFIX
from core.errors import InvalidEdit, NoSuchLabel, NoTextEncoder
from core.text_pack import text_pack
from crdt.documents import LIBRARY
from crdt.errors import CrdtError
from crdt.operations import Delete, Put
from crdt.schema import label_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library

MAX_LABELS = 256
"""Labels by words that are worked out; each is compared with all photos. Of more, the first by name."""
MAX_TEXTS = 16
MAX_CHARACTERS = 200
"""Of one text; an encoder reads no more."""
_NO_PACK = "no pack"


@dataclass(frozen=True)
class WordLabel:
    """A label by words: its name, the texts that describe it, and how many photos outside the trash have it now."""

    name: str
    texts: tuple[str, ...]
    photos: int


@dataclass(frozen=True)
class WordReason:
    """Why a photo has a label by words, or has not.

    Attributes:
        label: its name.
        model: the image-text pack that compared, or None where there is none here.
        text: the text that fits the photo best, or None where none stands out.
        score: 0 to 1; the label holds from 0.5. None where no text stands out.
        shown: whether the photo has the label for it.
    """

    label: str
    model: str | None
    text: str | None
    score: float | None
    shown: bool


def add(library: Library, name: str, texts: Sequence[str] = ()) -> WordLabel:
    """Make `name` a label of the photos that look like one of `texts`, or like the name itself; replaces its texts.

    Raises `InvalidEdit` for a name or texts that cannot be, or a label that was taught by examples, and
    `NoTextEncoder` where no pack here understands texts.
    """
    label = _label(name)
    described = tuple(dict.fromkeys(" ".join(text.split()) for text in texts or (name,)))
    if not described or len(described) > MAX_TEXTS or not all(map(_is_text, described)):
        raise InvalidEdit(
            f"'{label}' needs 1 to {MAX_TEXTS} texts of at most {MAX_CHARACTERS} characters that can be shown",
            hint='For example: safelight vocabulary add sunset "a sunset over the sea".',
        )
    library.refresh()
    if label in library.catalog.library_values(TAUGHT_MAP):
        raise InvalidEdit(
            f"'{label}' is taught by examples", hint=f"Forget those first: safelight teach {label!r} --forget"
        )
    text_pack(library, verify=False)
    operations = [Put("setting", WORDS_PREFIX + label, "\n".join(described))]
    if name.strip() != label:
        operations.append(Put("vocabulary", label, name.strip()))
    library.commit({LIBRARY: operations}, action="vocabulary.add", summary=f"label {label} by words")
    refresh(library)
    return WordLabel(label, described, library.catalog.label_counts().get(label, 0))


def word_labels(library: Library) -> list[WordLabel]:
    """Return the labels by words, by name, as of the last refresh."""
    counts = library.catalog.label_counts()
    return [WordLabel(name, texts, counts.get(name, 0)) for name, texts in _known(library).items()]


def forget(library: Library, name: str) -> None:
    """Forget a label by words, on all devices: photos lose it unless the user gave it to them, or a model does.

    Raises `NoSuchLabel` for one that there is not.
    """
    label = _label(name)
    library.refresh()
    if label not in _known(library):
        raise NoSuchLabel(f"no label '{label}' is known by words", hint="`safelight vocabulary list` shows which are.")
    operation = Delete("setting", WORDS_PREFIX + label)
    library.commit({LIBRARY: [operation]}, action="vocabulary.remove", summary=f"label {label} by words forgotten")


def refresh(library: Library) -> int:
    """Bring the photos of all labels by words up to date; return of how many labels they changed.

    What has not changed costs some look-ups in the catalog. Where no pack understands texts they are of no photo.
    """
    known = _known(library)
    state = _state(library) if known else ""
    changed = 0
    for name, texts in known.items():
        own = hashlib.blake2b(f"{state}\n{texts}".encode(), digest_size=16).hexdigest()
        if library.catalog.taught_state(name) != own:
            library.catalog.set_taught(name, {} if state == _NO_PACK else _scores(library, texts), own)
            changed += 1
    if changed:
        library.save_derived()
    return changed


def reasons(library: Library, pid: bytes, label: str | None = None) -> list[WordReason]:
    """Return how a photo fared with the labels by words, or with one of them; best first."""
    wanted = None if label is None else _label(label)
    photo = library.catalog.photo(pid)
    has = set() if photo is None else {given.name for given in photo.labels if given.source == "taught"}
    found = [
        _reason(library, pid, name, texts, shown=name in has)
        for name, texts in _known(library).items()
        if wanted in (None, name)
    ]
    return sorted(found, key=lambda reason: (-(reason.score or 0), reason.label))


def _reason(library: Library, pid: bytes, name: str, texts: Sequence[str], *, shown: bool) -> WordReason:
    from core.text_search import rank_by_text

    model = text_model(library.setting)
    best: tuple[float, str] | None = None
    try:
        for text in texts:
            for ranked in rank_by_text(library, text).photos:
                if ranked.pid == pid and (best is None or ranked.score > best[0]):
                    best = ranked.score, text
    except NoTextEncoder:
        model = None
    score, fitting = best or (None, None)
    return WordReason(name, model, fitting, score, shown)


def _scores(library: Library, texts: Sequence[str]) -> dict[bytes, float]:
    from core.text_search import rank_by_text

    scores: dict[bytes, float] = {}
    try:
        for text in texts:
            for ranked in rank_by_text(library, text).photos:
                if ranked.sure:
                    scores[ranked.pid] = max(ranked.score, scores.get(ranked.pid, 0.0))
    except NoTextEncoder:
        return {}
    return scores


def _known(library: Library) -> dict[str, tuple[str, ...]]:
    """Return {name: texts}; what another device wrote that is no such label is left out, and so are taught ones."""
    taught = library.catalog.library_values(TAUGHT_MAP)
    found: dict[str, tuple[str, ...]] = {}
    for key, value in library.catalog.library_values("setting").items():
        name = key.removeprefix(WORDS_PREFIX)
        texts = tuple(value.split("\n"))
        if key == name or name in taught or len(texts) > MAX_TEXTS or not all(map(_is_text, texts)):
            continue
        try:
            if label_name(name) == name:
                found[name] = texts
        except CrdtError:
            continue
        if len(found) == MAX_LABELS:
            break
    return found


def _state(library: Library) -> str:
    """Return a text that changes with the pack, and with the vectors that are on this device."""
    model = text_model(library.setting)
    try:
        text_pack(library, verify=False)
    except NoTextEncoder:
        return _NO_PACK
    here = [] if model is None else [blob for _, blob in library.catalog.vector_bundles(model)]
    digest = hashlib.blake2b(b"".join(blob for blob in here if library.blobs.exists(blob)), digest_size=16)
    return f"{library.setting(TEXT_PACK_SETTING)} {digest.hexdigest()}"


def _label(name: str) -> str:
    try:
        return label_name(name)
    except CrdtError as error:
        raise InvalidEdit(str(error), hint=error.hint) from error


def _is_text(text: str) -> bool:
    return 0 < len(text) <= MAX_CHARACTERS and text.isprintable() and not text.isspace()
