"""Train ``safelight-mini`` from scratch on Tiny ImageNet.

``python -m ml.training.train RUN --cache CACHE`` writes ``RUN/log.jsonl``, ``RUN/checkpoint.pt`` (from which the same
command goes on) and, at the end, ``RUN/final.pt``.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ml.training.dataset import (
    APP_SOFTNESS,
    Split,
    augment,
    batches,
    epoch_order,
    load_split,
    sample,
    softened,
    to_input,
)
from ml.training.network import SafelightMini
from ml.training.norms import recalibrate
from ml.training.schedule import SOFT_FROM, Planner, learning_rate, picture_size

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKPOINT_SECONDS = 180.0
PLAN_EVERY = 50
EVALUATE_EVERY = 0.1
CALIBRATION_PICTURES = 1280


@dataclass(frozen=True)
class Recipe:
    """What decides a run besides the data; times in seconds of wall clock."""

    seed: int = 20261122
    epochs: float = 24.0
    batch: int = 128
    peak_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 2e-4
    label_smoothing: float = 0.1
    average: float = 0.998
    soft_from: float = SOFT_FROM
    bfloat16: bool = False


class Run:
    """One training run: model, averaged model, optimiser and where they are."""

    def __init__(self, recipe: Recipe, train: Split, directory: Path) -> None:
        self.recipe = recipe
        self.train = train
        self.directory = directory
        torch.manual_seed(recipe.seed)
        self.model = SafelightMini(len(train.wnids))
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.model)
        norms_and_biases = [p for p in self.model.parameters() if p.ndim == 1]
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        self.optimiser = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": recipe.weight_decay},
                {"params": norms_and_biases, "weight_decay": 0.0},
            ],
            lr=0.0,
            momentum=recipe.momentum,
            nesterov=True,
        )
        self.progress = 0.0
        self.step = 0
        self.seconds = 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the data."""
        return len(self.train) // self.recipe.batch

    def train_step(self, advance: float) -> tuple[float, float]:
        """Make one step and add ``advance`` to the progress. Returns (loss, share of the batch that was right)."""
        recipe = self.recipe
        epoch, place = divmod(self.step, self.steps_per_epoch)
        rows = epoch_order(len(self.train), recipe.seed, epoch)[place * recipe.batch : (place + 1) * recipe.batch]
        # Seeding by step rather than keeping one generator makes a restarted run draw what an unbroken one draws.
        rng = np.random.default_rng((recipe.seed, 1, self.step))
        images = augment(
            self.train.pixels[np.sort(rows)], picture_size(self.progress), rng, soft=self.progress >= recipe.soft_from
        )
        targets = torch.from_numpy(self.train.targets[np.sort(rows)])
        rate = learning_rate(self.progress, recipe.peak_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bfloat16):
            logits, _ = self.model(images)
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._average()
        self.step += 1
        self.progress = min(1.0, self.progress + advance)
        return loss.item(), (logits.argmax(1) == targets).float().mean().item()

    @torch.no_grad()
    def _average(self) -> None:
        # Early weights are far from anything useful: let the average forget them at first.
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        mine = list(self.averaged.state_dict().values())
        theirs = list(self.model.state_dict().values())
        floats = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1.0 - keep)

    def save(self, name: str) -> None:
        """Write the whole state to ``name`` in the run's folder; a crash leaves the old file or the new one."""
        state = {
            "recipe": asdict(self.recipe),
            "wnids": list(self.train.wnids),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": self.progress,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.directory / f"{name}.partial"
        torch.save(state, partial)
        partial.replace(self.directory / name)

    def load(self, name: str) -> None:
        """Take up the state of ``name``; ``ValueError`` if it was written under another recipe."""
        state = torch.load(self.directory / name, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{name} belongs to another recipe: {state['recipe']}")
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = state["progress"]
        self.step = state["step"]
        self.seconds = state["seconds"]

    def start_from(self, weights: Path) -> None:
        """Take the weights that an earlier run ended with; schedule and optimiser begin anew.

        A warm restart after Loshchilov and Hutter, "SGDR" (2017). The log begins with that run's. Raises ``ValueError``
        for a run on other classes.
        """
        state = torch.load(weights, weights_only=True)
        if tuple(state["wnids"]) != self.train.wnids:
            raise ValueError(f"{weights} was trained on other classes")
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["model"])
        (self.directory / "log.jsonl").write_bytes((weights.parent / "log.jsonl").read_bytes())


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, batch: int = 250) -> dict[str, float]:
    """Return loss (nats), top-1 and top-5 (shares of 1) of ``model`` on ``split`` at full size."""
    model.eval()
    loss = top1 = top5 = 0.0
    for pixels, labels in batches(split, batch):
        targets = torch.from_numpy(np.array(labels))
        logits, _ = model(to_input(pixels))
        loss += functional.cross_entropy(logits, targets, reduction="sum").item()
        ranked = logits.topk(5).indices == targets[:, None]
        top1 += ranked[:, 0].sum().item()
        top5 += ranked.any(1).sum().item()
    return {"loss": loss / len(split), "top1": top1 / len(split), "top5": top5 / len(split)}


def read_plans(log: Path) -> dict[int, float]:
    """Return what the last run of a log says of its pace: step to the progress of each step from there on."""
    plans: dict[int, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "start" and event["step"] == 0:
            plans.clear()
        if "advance" in event:
            plans[event["step"]] = event["advance"]
    return plans


def train(
    run: Run, validation: Split, budget: float | None, stop_at: float, plans: dict[int, float] | None = None
) -> None:
    """Train until progress ``stop_at``.

    ``budget`` is the wall-clock seconds the whole run may take (None: any); ``plans`` the pace of an earlier run, to
    be kept instead.
    """
    planner = Planner(round(run.recipe.epochs * run.steps_per_epoch))
    calibration = sample(run.train, CALIBRATION_PICTURES, run.recipe.seed)
    soft = softened(validation, np.full(len(validation), APP_SOFTNESS))
    log = (run.directory / "log.jsonl").open("a", encoding="utf-8", buffering=1)
    saved = started = time.monotonic() - run.seconds
    losses: list[float] = []
    rights: list[float] = []
    advance = planner.step(run.progress, None)
    if plans is not None:
        advance = plans.get(max((step for step in plans if step <= run.step), default=run.step), advance)
    evaluated = run.progress
    _note(
        log,
        event="start",
        recipe=asdict(run.recipe),
        budget=budget,
        step=run.step,
        progress=run.progress,
        advance=advance,
    )
    while run.progress < stop_at:
        if run.step % PLAN_EVERY == 0:
            left = None if budget is None else budget - run.seconds
            advance = planner.step(run.progress, left) if plans is None else plans.get(run.step, advance)
            if losses:
                _note(
                    log, event="steps", step=run.step, progress=round(run.progress, 5), advance=advance,
                    epoch=round(run.step / run.steps_per_epoch, 3), seconds=round(run.seconds, 1),
                    loss=round(float(np.mean(losses)), 4), top1=round(float(np.mean(rights)), 4),
                    rate=round(learning_rate(run.progress, run.recipe.peak_rate), 5),
                )  # fmt: skip
                losses, rights = [], []
        size = picture_size(run.progress)
        before = time.monotonic()
        loss, right = run.train_step(advance)
        planner.observe(time.monotonic() - before, size)
        losses.append(loss)
        rights.append(right)
        run.seconds = time.monotonic() - started
        if run.progress - evaluated >= EVALUATE_EVERY or run.progress >= stop_at:
            evaluated = run.progress
            both = (("averaged", run.averaged), ("model", run.model))
            for which, model in both if run.progress >= 1.0 else both[:1]:
                # As the export will have it: running figures of enlarged, sharp crops say little about photos.
                candidate = copy.deepcopy(model)
                recalibrate(candidate, calibration)
                figures = {key: round(value, 4) for key, value in evaluate(candidate, soft).items()}
                _note(log, event="validation", which=which, step=run.step, progress=round(run.progress, 5), **figures)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            run.seconds = time.monotonic() - started
            run.save("checkpoint.pt")
            saved = time.monotonic()
    run.seconds = time.monotonic() - started
    run.save("checkpoint.pt")
    if run.progress >= 1.0:
        run.save("final.pt")
        _note(log, event="end", step=run.step, seconds=round(run.seconds, 1))
    log.close()


def _note(log: TextIO, **values: object) -> None:
    print(json.dumps(values), file=log)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ml.training.train", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of this run: log, checkpoint, result")
    parser.add_argument("--cache", type=Path, required=True, help="folder for decoded pictures (0.9 GB)")
    parser.add_argument("--epochs", type=float, default=Recipe.epochs, help="passes over the data, if time allows")
    parser.add_argument("--budget", type=float, help="minutes of wall clock the run may take; fewer epochs if need be")
    parser.add_argument("--replay", type=Path, help="log.jsonl of an earlier run, whose pace is kept step by step")
    parser.add_argument("--stop-at", type=float, default=1.0, help="progress (0-1) to stop at, leaving a checkpoint")
    parser.add_argument(
        "--start-from", type=Path, help="final.pt of an earlier run, whose weights this one goes on from"
    )
    parser.add_argument("--peak-rate", type=float, default=Recipe.peak_rate, help="highest learning rate of the cycle")
    parser.add_argument(
        "--soft-from", type=float, default=Recipe.soft_from, help="progress (0-1) to soften pictures from"
    )
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--bfloat16", action="store_true", help="autocast; only where the CPU has bf16 arithmetic")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        seed=options.seed,
        epochs=options.epochs,
        peak_rate=options.peak_rate,
        soft_from=options.soft_from,
        bfloat16=options.bfloat16,
    )
    run = Run(recipe, load_split("train", options.cache), options.run)
    if (options.run / "checkpoint.pt").exists():
        run.load("checkpoint.pt")
    elif options.start_from is not None:
        run.start_from(options.start_from)
    budget = None if options.budget is None else options.budget * 60.0
    plans = None if options.replay is None else read_plans(options.replay)
    train(run, load_split("val", options.cache), budget, options.stop_at, plans)


if __name__ == "__main__":
    main()
