"""How fast photos are labelled: the product's way of running a model, against bare ONNX Runtime on the same tensors.

Aims: at least 0.9 of bare ONNX Runtime in the same setting, and within 10 % of the best setting of processes, threads
and batch that keeps both cores busy. The product runs one process a core with one thread each, one photo at a time.
Settings take turns, several times over, and the best turn of each counts: a neighbour can only take, never give.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.labels import packs, shared_data
from benchmarks.measurement import Report
from ml.session import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

    from numpy.typing import NDArray

    from ml.pack import Pack


class Setting(NamedTuple):
    """How the cores are used."""

    processes: int
    threads: int
    batch: int
    bare: bool = True

    def __str__(self) -> str:
        """Say it in words."""
        how = "bare" if self.bare else "Safelight"
        return f"{how}: {self.processes} x {self.threads} threads, {self.batch} at a time"


def rate_of(name: str, setting: Setting, seconds: float) -> float:
    """Return photos a second of all processes of the setting together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(setting.processes), context.Queue()
    children = [
        context.Process(target=_child, args=(name, setting, seconds, barrier, results))
        for _ in range(setting.processes)
    ]
    for child in children:
        child.start()
    rates = [results.get(timeout=120) for _ in children]
    for child in children:
        child.join()
    return float(sum(rates))


def _child(
    name: str, setting: Setting, seconds: float, barrier: Barrier, results: multiprocessing.Queue[float]
) -> None:
    pack = next(pack for _, pack in packs(shared_data(), name))
    tensors = pre_made(pack, max(8, setting.batch))
    run = bare(pack, setting, tensors) if setting.bare else safelight(pack, setting, tensors)
    run()
    barrier.wait()
    begin, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds:
        run()
        count += len(tensors)
    results.put(count / passed)


def pre_made(pack: Pack, count: int) -> NDArray[Any]:
    """Return `[count, ...]` tensors of noise, as the model takes them."""
    spec = pack.manifest.input
    shape = (3, spec.size, spec.size) if spec.layout == "NCHW" else (spec.size, spec.size, 3)
    values = np.random.default_rng(1).normal(0, 0.5, (count, *shape)).clip(-1, 1)
    return (values * 127 + 128).astype(np.uint8) if spec.dtype == "uint8" else values.astype(spec.dtype)


def safelight(pack: Pack, setting: Setting, tensors: NDArray[Any]) -> Callable[[], object]:
    """Return a call that labels all tensors as the product does."""
    classifier = Classifier(pack, threads=setting.threads)
    return lambda: classifier.run(tensors)


def bare(pack: Pack, setting: Setting, tensors: NDArray[Any]) -> Callable[[], object]:
    """Return a call that runs all tensors through ONNX Runtime and throws the answers away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(pack.model_bytes(), options, providers=["CPUExecutionProvider"])
    output, given = pack.manifest.output, session.get_inputs()[0].name
    names = [output.name, *([output.embedding] if output.embedding else [])]

    def run() -> None:
        for start in range(0, len(tensors), setting.batch):
            session.run(names, {given: tensors[start : start + setting.batch]})

    return run


def main(arguments: list[str] | None = None) -> list[str]:
    """Measure and print; return the aims that were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pack", default="mobilenet-v2", help="one that takes any batch; else the built-in one is measured"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one turn")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args(arguments)
    name = options.pack if any(packs(shared_data(), options.pack)) else "safelight-mini"
    cores = min(2, os.cpu_count() or 1)
    product = Setting(cores, 1, 1, bare=False)
    settings = [product, *(Setting(p, t, b) for p, t in ((cores, 1), (1, cores)) for b in (1, 4, 16))]
    report = Report(f"Labelling pre-made tensors, {name}, {cores} cores")
    best = dict.fromkeys(settings, 0.0)
    for _ in range(options.turns):
        for setting in settings:
            best[setting] = max(best[setting], rate_of(name, setting, options.seconds))
    for setting, rate in best.items():
        report.line(str(setting), f"{rate:.0f} photos/s")
    same = best[product] / best[Setting(cores, 1, 1)]
    fastest = max(rate for setting, rate in best.items() if setting.bare)
    report.line("Safelight / bare, same setting", f"{same:.2f}", aim=">= 0.9", met=same >= 0.9)
    report.line("Safelight / best bare setting", f"{best[product] / fastest:.2f}", aim=">= 0.9",
                met=best[product] >= 0.9 * fastest)  # fmt: skip
    return report.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
