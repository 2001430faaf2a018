"""`safelight model`: the packs that label photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import click

from tui.cli import evaluation_text, output
from tui.cli.options import confirm, json_option, library_options, yes_option
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.packs import PackDescription
    from ml.evaluate import Evaluation
    from tui.cli.session import Session


_NAMES_SHOWN = 5
_Answer = TypeVar("_Answer")


@click.group("model")
def command() -> None:
    """List, add, choose and try the models that label photos.

    A pack is a folder with a model, its labels and a manifest; docs/models.md says how one is made.
    """


@command.command("list")
@click.option("--available", is_flag=True, help="The models that `model add NAME` can fetch; asks no network.")
@json_option
@library_options
def list_(session: Session, available: bool, as_json: bool) -> None:
    """List the packs on this machine; `*` marks those that this library uses.

    Which those are can be seen when the library is unlocked; this command does not ask for the passphrase.
    """
    from core import packs

    if available:
        models = packs.available_models()
        if as_json:
            output.json_lines(models)
            return
        for model in models:
            facts = f"{output.file_size(model.size):>9}  {model.top1:.1f} % of ImageNet  {output.plain(model.licence)}"
            output.line(f"  {model.name:<26} {facts}")
        return
    active = _in_use(session)
    found = packs.list_packs()
    if as_json:
        output.json_lines(
            {**dataclasses.asdict(pack), "active": None if active is None else pack.model in active} for pack in found
        )
        return
    for pack in found:
        mark = "*" if active is not None and pack.model in active else " "
        output.line(f"{mark} {pack.model:<32} {_facts(pack)}")


@command.command("add")
@click.argument("source", metavar="NAME|FOLDER|URL")
@click.option("--manifest", type=click.Path(path_type=Path), metavar="FILE", help="A pack.toml that is elsewhere.")
@click.option("--sha256", metavar="HEX", help="What the pack's author publishes; needed for a URL.")
@click.option("--from", "address", metavar="URL", help="Where else the model NAME is; the same bytes are asked of it.")
@click.option("--use", "use_it", is_flag=True, help="Also let it label this library's photos from now on.")
@yes_option
@library_options
def add(
    session: Session,
    source: str,
    manifest: Path | None,
    sha256: str | None,
    address: str | None,
    use_it: bool,
    yes: bool,
) -> None:
    """Install a pack, after checking its files and trying it.

    NAME is one of `safelight model list --available`; it is fetched after a question. Otherwise nothing is fetched
    unless a URL is given. A transfer that breaks off goes on where it was, also with the next try.
    """
    from core import packs

    if "/" in source or manifest is not None or sha256 is not None or Path(source).exists():
        if address is not None:
            raise click.UsageError("--from is for a NAME of `safelight model list --available`")
        with progress_bar("Fetching", unit="bytes", shown="://" in source) as advance:
            pack = packs.add_pack(source, manifest=manifest, sha256=sha256, progress=advance)
    else:
        model = packs.available_model(source)
        host = urlsplit(address or model.url).hostname
        facts = f"{output.file_size(model.size)}, {output.plain(model.licence)}"
        confirm(f"Fetch {model.name} ({facts}) from {output.plain(host or '')}?", yes=yes)
        with progress_bar("Fetching", unit="bytes") as advance:
            pack = packs.add_available_model(model.name, url=address, progress=advance)
    output.line(f"Added {pack.model}: {_facts(pack)}")
    if use_it:
        _use(session, pack.model)
    else:
        work = "find" if pack.kind == "image-text" else "label"
        output.say(f"`safelight model use {pack.model}` lets it {work} this library's photos.")


@command.command("draft")
@click.argument("folder", type=click.Path(path_type=Path))
def draft(folder: Path) -> None:
    """Print a first pack.toml for the model.onnx and labels.txt in FOLDER, or for its two encoders.

    What the model itself says is filled in; what had to be guessed is marked. `safelight model eval` tells whether it
    was guessed well.
    """
    from core import packs

    output.line(packs.draft_manifest(folder).rstrip())


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Delete an added pack. Labels it gave stay in the library."""
    from core import packs

    output.say(f"Removed {packs.remove_pack(name)}.")


@command.command("use")
@click.argument("name")
@library_options
def use(session: Session, name: str) -> None:
    """Let the pack NAME label this library's photos from now on; `safelight retag` labels those that are there.

    An image-text pack takes no other's place: beside the pack that labels, it finds photos by descriptions.
    """
    _use(session, name)


@command.command("test")
@click.argument("name", required=False)
@json_option
@library_options
def test(session: Session, name: str | None, as_json: bool) -> None:
    """Load a pack and run it on generated pictures. Without NAME, the one in use."""
    from core import packs

    report = packs.check_pack(name or _active_or_builtin(session))
    if as_json:
        output.json_lines([report])
        return
    classes = getattr(report, "classes", None)
    what = "pictures and texts" if classes is None else f"{classes} classes"
    output.line(f"{report.model} runs: {what}, " + _embedding(report.embedding))
    times = f"prepare {report.preprocess_ms:.1f} ms, run {report.inference_ms:.1f} ms a picture"
    if classes is None:
        times += f", {getattr(report, 'text_ms', 0.0):.1f} ms a text"
    output.line(f"load {report.load_ms:.0f} ms, {times}")
    if references := getattr(report, "references", 0):
        recognised = getattr(report, "recognised", 0)
        output.line(f"recognises {recognised} of {output.count(references, 'drawing')} of things it should know")
    for warning in report.warnings:
        output.line(f"warning: {warning}")


@command.command("eval")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--pack", "name", metavar="NAME", help="Default: the pack in use.")
@click.option("--all", "every", is_flag=True, help="All packs on this machine that label photos, one after the other.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw the reliability.")
@click.option("--details", is_flag=True, help="With --json: everything that is printed otherwise, too.")
@json_option
@library_options
def evaluate(
    session: Session, folder: Path, name: str | None, every: bool, svg: Path | None, as_json: bool, details: bool
) -> None:
    """Measure a pack on photos with known answers.

    DIR holds folders, or files, that are named by class, WordNet id or label: `dog/1.jpg` or `n02084071_dog.jpg`. What
    the folders of Caltech-101 show is known to Safelight.
    """
    from core import packs

    if every and (name is not None or svg is not None):
        raise click.UsageError("--all is for all packs: without --pack and --svg")
    if every:
        names = [pack.model for pack in packs.list_packs() if pack.kind == "classifier"]
    else:
        names = [name or _active_or_builtin(session)]
    for number, model in enumerate(names):
        with progress_bar(f"Evaluating {model}" if every else "Evaluating", shown=not as_json) as advance:
            result = packs.evaluate_pack(model, folder, progress=advance)
        if number == 0:
            _say_what_was_left_out(result)
        if svg is not None:
            _draw(svg, result, folder)
        if as_json:
            facts = evaluation_text.facts(result, details=details)
            output.json_lines([{"pack": model, **facts} if every else facts])
            continue
        if every:
            output.line(f"{model}" if number == 0 else f"\n{model}")
        for line in evaluation_text.lines(result):
            output.line(line)


def _say_what_was_left_out(result: Evaluation) -> None:
    if result.unknown:
        shown = ", ".join(output.plain(known) for known in result.unknown[:_NAMES_SHOWN])
        output.warn(f"{output.count(len(result.unknown), 'name')} the pack does not know, left out: {shown} …")
    for path, reason in result.unreadable:
        output.warn(f"{output.plain(path)}: {output.plain(reason)}")


@command.command("calibrate")
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@click.option("--pack", "name", metavar="NAME", help="Default: the pack in use.")
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of the labels shown that are to be right.",
)
@click.option("--reset", is_flag=True, help="Go back to the thresholds the pack came with.")
@json_option
@library_options
def calibrate(
    session: Session, folder: Path | None, name: str | None, precision: float, reset: bool, as_json: bool
) -> None:
    """Fit a pack's thresholds, one for each label, on photos with known answers, named as for `model eval`.

    They hold on this machine, for every library that uses the pack; labels are derived anew when one is opened. Give
    photos like your own, some hundreds, and some of things that the pack does not know.
    """
    from core import packs

    pack = name or _active_or_builtin(session)
    if reset == (folder is not None):
        raise click.UsageError("give either DIR or --reset")
    if folder is None:
        had = packs.forget_calibration(pack)
        output.say(f"{pack} uses the thresholds it came with{'' if had else ', as before'}.")
        return
    with progress_bar("Evaluating", shown=not as_json) as advance:
        result = packs.calibrate_pack(pack, folder, precision=precision, progress=advance)
    if as_json:
        output.json_lines([result])
        return
    output.line(f"Fitted {result.model} on {result.photos:,} photos, for {precision:.0%} right: {result.file}")
    if result.held_out_precision is None or result.held_out_interval is None:
        output.warn("too few photos to say how well the thresholds do on others")
    else:
        low, high = result.held_out_interval
        held_out = f"{result.held_out_precision:.1%} right ({low:.1%} to {high:.1%})"
        output.line(f"On each half, fitted on the other: {held_out}, {result.held_out_coverage:.1%} get a label")


def _draw(svg: Path, result: Evaluation, folder: Path) -> None:
    from ml.reliability_diagram import reliability_diagram

    try:
        svg.write_text(reliability_diagram(result.reliability, folder.absolute().name, result.ece), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{svg}: cannot be written: {error.strerror}") from error


def _use(session: Session, name: str) -> None:
    from core import packs

    with session.open_library() as library:
        pack = packs.use_pack(library, name)
        photos = library.catalog.count("")
    describes = pack.kind == "image-text"
    work = "finds this library's photos by descriptions" if describes else "labels this library's photos"
    output.say(f"{pack.model} {work} from now on.")
    if photos:
        verb = "lets it look at" if describes else "labels"
        output.say(f"`safelight retag` {verb} the {output.count(photos, 'photo')} that are there.")


def _active(session: Session) -> str | None:
    """The model that labels, if that can be told without asking for the passphrase."""
    from core.active_model import active_model

    return _unasked(session, active_model)


def _in_use(session: Session) -> set[str | None] | None:
    """All models in use, if that can be told without asking for the passphrase."""
    from core.active_model import active_model, text_model

    return _unasked(session, lambda setting: {active_model(setting), text_model(setting)})


def _unasked(session: Session, ask: Callable[[Callable[[str], str | None]], _Answer]) -> _Answer | None:
    """What a library's settings say, or None where it is locked or there is none."""
    from core.errors import CoreError

    try:
        if not session.opens_unasked():
            return None
        with session.open_library() as library:
            return ask(library.setting)
    except CoreError:
        return None


def _active_or_builtin(session: Session) -> str:
    from core import packs

    active = _active(session)
    if active is not None:
        return active
    builtin = next((pack for pack in packs.list_packs() if pack.builtin), None)
    if builtin is None:
        raise click.UsageError("which pack? this installation has none built in")
    return builtin.model


def _facts(pack: PackDescription) -> str:
    if pack.problem is not None:
        return f"cannot be used: {output.plain(pack.problem)}"
    origin = "built in" if pack.builtin else "added"
    what = "pictures and texts" if pack.classes is None else f"{pack.classes:,} classes"
    return f"{what}, {output.file_size(pack.size or 0)}, {output.plain(pack.licence or '')}, {origin}"


def _embedding(length: int | None) -> str:
    return "no embedding" if length is None else f"embedding of {length}"
