"""Make the pack ``safelight-mini`` from a finished run.

``python -m ml.training.export RUN --cache CACHE --pack ml/packs/safelight-mini`` writes the model in eight bits, its
labels, the log and ``pack.toml``, and prints the figures. ``--seal`` only rewrites the digests, after a change of the
README.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from ml.taxonomy import BUILTIN, Taxonomy
from ml.training.calibrate import LabelEvaluation, calibration_error, fit_temperature, softmax
from ml.training.dataset import (
    APP_SOFTNESS,
    IMAGE_SIZE,
    PIXEL_MEAN,
    PIXEL_STD,
    data_directory,
    load_split,
    sample,
    softened,
)
from ml.training.network import SafelightMini
from ml.training.norms import recalibrate
from ml.training.onnx_graph import EMBEDDING, INPUT, LOGITS, build_model
from ml.training.quantise import accuracy, quantise, run

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "1.1.0"
SHORTER_SIDE = 66
SAMPLE = 6400
"""Training pictures from which the norms' figures and the ranges of the eight-bit numbers are taken."""
SAMPLE_SEED = 0
FILES = ("model.onnx", "labels.txt", "wnids.txt", "README.md", "training-log.jsonl")

MANIFEST = """\
# Trained from scratch with ml/training; README.md has the figures, docs/training.md the recipe.
format = 1
name = "safelight-mini"
version = "{version}"
kind = "classifier"
licence = "Apache-2.0"
source = "ml/training in the Safelight repository"
taxonomy = "imagenet"

[files]
{files}

[input]
name = "{input}"
size = {size}
layout = "NCHW"
colour = "RGB"
dtype = "float32"
resize = "bilinear"
shorter_side = {shorter_side}
crop = ["centre", "whole"]
mean = {mean}
std = {std}

[output]
name = "{logits}"
kind = "logits"
scale = 1.0
classes = {classes}
background = -1
labels = "labels.txt"
wordnet = "wnids.txt"
embedding = "{embedding}"
temperature = {temperature}
threshold = {threshold}
"""


def load_network(
    file: Path, weights: str, earlier: Path | None = None, share: float = 0.0
) -> tuple[SafelightMini, list[str]]:
    """Return a saved run's network, ready to be evaluated, and its classes in output order.

    ``weights`` is "model" for the last step's, "averaged" for the moving average's. ``earlier`` is the end of the run
    that this one went on from: its weights count by ``share`` (0-1) in the mean of both (Wortsman et al., "Model
    soups", 2022).
    """
    state = torch.load(file, weights_only=True)
    values = state[weights]
    if earlier is not None:
        before = torch.load(earlier, weights_only=True)["model"]
        values = {
            name: torch.lerp(value, before[name], share) if value.is_floating_point() else value
            for name, value in values.items()
        }
    network = SafelightMini(len(state["wnids"]))
    network.load_state_dict(values)
    network.eval()
    return network, list(state["wnids"])


def label_lines(wnids: Sequence[str]) -> list[str]:
    """Return one line per class: the taxonomy's name, then the data set's own names that differ from it."""
    names = Taxonomy.load(BUILTIN).class_names
    table = (data_directory() / "classes.tsv").read_text(encoding="utf-8").splitlines()
    synonyms = {wnid: words.split(", ") for wnid, words in (line.split("\t") for line in table)}
    return [
        ", ".join([names[wnid], *(word for word in synonyms[wnid] if word.casefold() != names[wnid].casefold())])
        for wnid in wnids
    ]


def digests(pack: Path) -> str:
    """Return the ``[files]`` table of the files in ``pack``."""
    return "\n".join(f'"{name}" = "{hashlib.sha256((pack / name).read_bytes()).hexdigest()}"' for name in FILES)


def seal(pack: Path) -> None:
    """Rewrite the digests in ``pack.toml`` after a file of the pack has changed."""
    manifest = pack / "pack.toml"
    text = manifest.read_text(encoding="utf-8")
    text = re.sub(r"(?s)(?<=\[files\]\n).*?(?=\n\n\[input\])", digests(pack), text)
    manifest.write_text(text, encoding="utf-8")


def export(
    checkpoint: Path,
    cache: Path,
    pack: Path,
    shorter_side: int,
    weights: str,
    earlier: Path | None = None,
    share: float = 0.0,
) -> dict[str, object]:
    """Write the pack and return its figures (shares of 1), which also end its log."""
    network, wnids = load_network(checkpoint, weights, earlier, share)
    train = sample(load_split("train", cache), SAMPLE, SAMPLE_SEED)
    sharp = load_split("val", cache)
    # Everything is measured and fitted on pictures as soft as the photos of the app.
    validation = softened(sharp, np.full(len(sharp), APP_SOFTNESS))
    recalibrate(network, train)
    model = build_model(network, IMAGE_SIZE)
    float_logits, _ = run(model, validation)
    small = quantise(model, train)
    logits, _ = run(small, validation)
    sharp_logits, _ = run(small, sharp)
    targets = validation.targets
    temperature = round(fit_temperature(logits, targets), 3)
    probabilities = softmax(logits, temperature)
    evaluation = LabelEvaluation(wnids, probabilities, targets)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    threshold, held_out = evaluation.fit(), evaluation.fit(even)
    figures = {
        "event": "export",
        "weights": weights,
        "earlier_share": share if earlier is not None else 0.0,
        "parameters": sum(p.numel() for p in network.parameters()),
        "float32": _rounded(dict(zip(("top1", "top5"), accuracy(float_logits, targets), strict=True))),
        "int8": _rounded(dict(zip(("top1", "top5"), accuracy(logits, targets), strict=True))),
        "int8_sharp": _rounded(dict(zip(("top1", "top5"), accuracy(sharp_logits, targets), strict=True))),
        "agreement": round(float((logits.argmax(1) == float_logits.argmax(1)).mean()), 4),
        "temperature": temperature,
        "ece_before": round(calibration_error(softmax(logits, 1.0), targets), 4),
        "ece": round(calibration_error(probabilities, targets), 4),
        "threshold": threshold,
        "labels": _rounded(asdict(evaluation.at(threshold))),
        # Fitted on one half of the pictures and measured on the other: the honest version of the line above.
        "held_out": {"threshold": held_out, **_rounded(asdict(evaluation.at(held_out, odd)))},
    }
    pack.mkdir(parents=True, exist_ok=True)
    onnx.save(small, pack / "model.onnx")
    (pack / "labels.txt").write_text("".join(f"{line}\n" for line in label_lines(wnids)), encoding="utf-8")
    (pack / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in wnids), encoding="utf-8")
    log = (checkpoint.parent / "log.jsonl").read_text(encoding="utf-8")
    (pack / "training-log.jsonl").write_text(f"{log}{json.dumps(figures)}\n", encoding="utf-8")
    (pack / "README.md").touch()
    (pack / "pack.toml").write_text(
        MANIFEST.format(
            version=VERSION,
            files=digests(pack),
            input=INPUT,
            size=IMAGE_SIZE,
            shorter_side=shorter_side,
            mean=list(PIXEL_MEAN),
            std=list(PIXEL_STD),
            logits=LOGITS,
            classes=len(wnids),
            embedding=EMBEDDING,
            temperature=temperature,
            threshold=threshold,
        ),
        encoding="utf-8",
    )
    return figures


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ml.training.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="final.pt of a run; its log.jsonl lies beside it")
    parser.add_argument("--cache", type=Path, help="folder of decoded pictures")
    parser.add_argument("--pack", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--shorter-side", type=int, default=SHORTER_SIDE, help="pixels, before the crop to 64")
    parser.add_argument("--weights", default="model", choices=["model", "averaged"])
    parser.add_argument("--earlier", type=Path, help="final.pt of the run before, to be averaged with")
    parser.add_argument("--earlier-share", type=float, default=0.2, help="weight of that run, 0-1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seal", action="store_true", help="only rewrite the digests")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.seal:
        seal(options.pack)
        return
    if options.checkpoint is None or options.cache is None:
        parser.error("a checkpoint and --cache are needed")
    figures = export(
        options.checkpoint,
        options.cache,
        options.pack,
        options.shorter_side,
        options.weights,
        options.earlier,
        options.earlier_share,
    )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
