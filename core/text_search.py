"""Photos that look like what a text describes, best first: `~"dog on a beach"`.

The text goes through the library's image-text pack and is compared with the vectors that the pack made of the photos.
Which photos count is decided for each text anew, against a background of prompts that were not asked for
(`ml.background`).
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.active_model import TEXT_PACK_SETTING, text_model
from core.errors import NoTextEncoder
from core.text_pack import text_pack
from core.vectors import open_vectors
from ml.background import MAYBE, PROMPTS_FILE, SURE, Sought, background_prompts, encode_prompts, score
from ml.errors import MlError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.library import Library
    from core.text_encoder import ConfinedTextEncoder
    from core.vectors import Vectors
    from ml.pack import ImageTextPack

_CHUNK = 2048
"""Photos compared with the whole background at once."""
_MOST_THREADS = 4
_SAMPLE = 512
_NARROWEST = 0.01
"""Share of photos whose cosines spread less than is reckoned with: they may be missed at the very edge of a maybe."""
_RECENT = 16
"""Texts whose answers are kept: whoever scrolls through an answer asks for it again and again."""


class Ranked(NamedTuple):
    """One photo of an answer."""

    pid: bytes
    score: float
    """0 to 1, one half from where it is sure."""
    sure: bool


@dataclass(frozen=True)
class RankedPhotos:
    """What a text finds, best first; those in the trash too."""

    model: str
    """``name@version`` of the image-text pack."""
    photos: list[Ranked]


@dataclass
class _State:
    """What this process keeps of one library's image-text pack."""

    pack: ImageTextPack
    background: NDArray[np.float32] | None = None
    encoder: ConfinedTextEncoder | None = None
    recent: OrderedDict[str, tuple[Vectors, RankedPhotos]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the encoder runs, and never while the library is asked for anything."""


_STATES: weakref.WeakKeyDictionary[Library, tuple[str | None, _State]] = weakref.WeakKeyDictionary()
_STATES_LOCK = threading.Lock()


def rank_by_text(library: Library, text: str) -> RankedPhotos:
    """Return the photos that look like what `text` describes; none where it tells the model nothing.

    Raises:
        NoTextEncoder: the library uses no image-text pack, it is not here, cannot run, or has seen no photo yet.
    """
    state = _state(library)
    vectors = open_vectors(library, state.pack.model)
    with state.lock:
        known = state.recent.get(text)
        if known is not None and known[0] is vectors:
            state.recent.move_to_end(text)
            return known[1]
    if not len(vectors):
        if not library.catalog.count(""):
            return RankedPhotos(state.pack.model, [])
        if library.catalog.vector_bundles(state.pack.model):
            raise NoTextEncoder(
                f"what {state.pack.model} made of this library's photos is not on this device yet",
                hint="`safelight sync` brings it.",
            )
        raise NoTextEncoder(
            f"{state.pack.model} has not looked at any photo of this library yet",
            hint="`safelight retag` lets it look at all of them.",
        )
    sought = _encoded(library, state, text)
    if vectors.dimensions != len(sought):
        raise NoTextEncoder(
            f"the stored vectors of {state.pack.model} have {vectors.dimensions} numbers, its texts {len(sought)}",
            hint="Another pack of that name made them: give this one a version of its own.",
        )
    against = Sought.of(sought, _background(library, state))
    photos = ranked(vectors, against) if sought.any() and against.is_distinct else []
    found = RankedPhotos(state.pack.model, photos)
    with state.lock:
        state.recent[text] = vectors, found
        while len(state.recent) > _RECENT:
            state.recent.popitem(last=False)
    return found


def ranked(vectors: Vectors, sought: Sought) -> list[Ranked]:
    """Return the photos that stand out, best first.

    All photos with all prompts would take half a second at 100,000 photos. How far a photo is above the mean of the
    background takes one product, and what is less than the narrowest spread of a sample asks for is no answer.
    """
    pids, leads = vectors.scores(sought.direction)
    _, sample = vectors.of(pids[:: max(1, len(pids) // _SAMPLE)])
    candidates = np.flatnonzero(leads >= MAYBE * np.quantile(sought.spread(sample), _NARROWEST)).tolist()
    found: list[tuple[float, bytes]] = []
    for start in range(0, len(candidates), _CHUNK):
        own, rows = vectors.of([pids[place] for place in candidates[start : start + _CHUNK]])
        above = sought.stand_out(rows)
        found.extend((float(above[place]), own[place]) for place in np.flatnonzero(above >= MAYBE).tolist())
    found.sort(key=lambda item: (-item[0], item[1]))
    return [Ranked(pid, score(above), above >= SURE) for above, pid in found]


def _state(library: Library) -> _State:
    named = library.setting(TEXT_PACK_SETTING)
    with _STATES_LOCK:
        known = _STATES.get(library)
    if known is not None and known[0] == named:
        return known[1]
    state = _State(text_pack(library, verify=False))
    with _STATES_LOCK:
        _STATES[library] = named, state
    return state


def _encoded(library: Library, state: _State, *texts: str) -> NDArray[np.float32]:
    """Return a text's vector, [D]; of several, [N, D]."""
    from core.text_encoder import ConfinedTextEncoder

    try:
        with state.lock:
            if state.encoder is None:
                state.encoder = ConfinedTextEncoder(state.pack, threads=min(_MOST_THREADS, os.cpu_count() or 1))
            vectors = encode_prompts(state.encoder, texts)
    except MlError as error:
        model = text_model(library.setting)
        raise NoTextEncoder(f"the image-text pack {model} cannot be used: {error}", hint=error.hint) from error
    return vectors if len(texts) > 1 else vectors[0]


def _background(library: Library, state: _State) -> NDArray[np.float32]:
    """Return the background's vectors; they are kept, since making them takes a text encoder seconds."""
    if state.background is None:
        prompts = background_prompts()
        name, derivation = f"prompts:{state.pack.model}", _derivation(state.pack)
        saved = library.derived.load(name, derivation)
        kept = np.zeros(0, dtype=np.float32) if saved is None else np.frombuffer(saved.content, dtype="<f4")
        if not kept.size or kept.size % len(prompts):
            kept = _encoded(library, state, *prompts)
            library.derived.save(name, derivation, library.vector, kept.astype("<f4").tobytes(), durable=False)
        state.background = kept.reshape(len(prompts), -1).astype(np.float32)
    return state.background


def _derivation(pack: ImageTextPack) -> str:
    digest = hashlib.blake2b(PROMPTS_FILE.read_bytes(), digest_size=8).hexdigest()
    return f"prompts 1 {digest} {pack.sha256}"
