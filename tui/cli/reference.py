"""docs/commands.md, made from the commands themselves: `python -m tui.cli.reference > docs/commands.md`.

A test compares the page with what this module makes, so that neither says what the other does not.
"""

# ruff: noqa: E501 - a page of Markdown, in whose tables a row is a line

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from tui.cli import command_table
from tui.cli.application import PROGRAM, application

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """\
# Commands

<!-- Made from the commands by `python -m tui.cli.reference > docs/commands.md`: change them, not this page. -->

Results are printed on standard output, everything else on standard error. Long work shows a progress bar on a terminal
and is quiet elsewhere; `NO_COLOR` is honoured.

**Which library.** `--library DIR`, before or after the command's name; else the folder that `SAFELIGHT_LIBRARY` names;
else `library` in the platform's data folder for `safelight`.

**The passphrase** comes from the file that `--passphrase-file` names; else from the agent that `safelight unlock`
started; else from the file that `SAFELIGHT_PASSPHRASE_FILE` names; else it is asked for on the terminal. One line end at
the end of the file is not part of it. Where nothing of this is there, a command ends with exit code 3.

**Which photos.** `PHOTO` is a photo's id, or any beginning of it that only one photo has. `--query QUERY` takes all the
photos that a query finds instead ([the language](search.md)).

**Unattended.** `--yes` answers every question. `init --json` prints `{"library_id", "device_id", "recovery_phrase"}`, and
never again shows the phrase. Anybody on the machine can read a command's arguments in the list of processes: secrets go
into files (`--passphrase-file`, `--invite-file`, `--phrase-file`).

| exit code | meaning |
|---|---|
| 0 | done; also: a search that finds nothing |
| 1 | failed |
| 2 | usage: an unknown option, a query that cannot be understood, an impossible value |
| 3 | locked, or wrong passphrase or recovery phrase |
| 4 | integrity alarm: something stored is not what was written |
| 5 | relay out of reach: no relay in use could be reached, or none that has what was asked for |
| 6 | refused by a relay: its quota is full, or it knows this device as no member |
| 7 | partly done: some files failed, or some relays could not be reached; the others are done |
| 130 | stopped by ^C |

`sync` and `relay status` end with the first of these that holds: 4 while there are alarms, 6 where a relay refused, 0
where every relay was reached, 7 where some were, 5 where none was.

An error is one line, `safelight: what happened`, and mostly a second one, `hint: what to do`.

## Environment

| variable | |
|---|---|
| `SAFELIGHT_LIBRARY` | the library's folder |
| `SAFELIGHT_PASSPHRASE_FILE` | a file that holds the passphrase |
| `SAFELIGHT_DATA_DIR` | where packs are kept; default: the platform's data folder |
| `SAFELIGHT_STATE_DIR` | where this machine remembers what it wrote to each library; default: the platform's state folder |
| `SAFELIGHT_RUNTIME_DIR` | where the sockets of `unlock` are; default: `XDG_RUNTIME_DIR`, else the temporary folder |
| `SAFELIGHT_VIEWER` | the program that `open` shows photos with |
| `SAFELIGHT_LOG` | `debug`, `info`, `warning` or `error`: what the libraries log, on standard error |
| `SAFELIGHT_TRACEBACK` | `1`: an error of the program itself shows where it happened, for a report |
| `NO_COLOR` | no colours |

Completion of commands and options: `eval "$(_SAFELIGHT_COMPLETE=bash_source safelight)"`, likewise `zsh_source`, and for
fish `_SAFELIGHT_COMPLETE=fish_source safelight | source`.

## JSON Lines

`--json` prints one object a line. Fields may be added in later versions; none changes its meaning.

| command | a line |
|---|---|
| `search`, `similar` | `id`, `filename`, `taken_at` (ISO 8601, without offset where that is unknown), `width`, `height`, `size` (bytes), `mime`, `labels` (a list of `name`, `score`, `source`: `model`, `user` or `taught`, `model`), `caption`, `rating`, `favourite`, `albums`, `location`, `score`; with a description in the query also `sure` |
| `search --count` | `count` |
| `show` | as `search`, and `date_source`, `date_from`, `imported_at`, `trashed_at`, `rotation`, `camera`, `lens`, `iso`, `f_number`, `exposure_s`, `focal_mm`, `altitude_m`, `motion_s`, `looks` (a list of `dark`, `bright`, `blurry`, `black-and-white`, `screenshot`), `brightness` (0 to 1, or null) |
| `duplicates` | `photos`: a list of what `search` prints, best first |
| `teach`, `teach --list` | `label`, `positive`, `negative`, `photos`, `without_vector` |
| `vocabulary add`, `vocabulary list` | `name`, `texts`, `photos` |
| `teach --review` | `certain` (`most` or `least`), `id`, `score` |
| `why` | `label`, `shown`, `source`, `score`, `model`; of one by words: `text`; of a taught one: `positive`, `negative`, `example`, `nearest` (a list of `id`, `cosine`); of a model's: `active`, `needed`, `because_of`, `above`, `classes` (a list of `name`, `wordnet`, `probability`) |
| `import` | `event`: `added` or `duplicate` (`path`, `id`), `skipped`, `failed` or `note` (`path`, `reason`), `progress` (`files`, `total_files`, `bytes`, `total_bytes`, `seconds_left`), and last `done` (`added`, `duplicates`, `skipped`, `failed`, `seconds`) |
| `export` | `event`: `exported` or `present` (`id`, `path`), `failed` (`id`, `path`, `reason`), and last `done` (`exported`, `present`, `failed`, `sidecars`, `fetched`, `seconds`) |
| `log` | `id`, `at`, `device`, `action`, `summary`, `photos_added`, `undone` |
| `label list` | `name`, `photos` |
| `album list` | `id`, `name`, `photos` |
| `model list` | `name`, `version`, `builtin`, `active` (null while the library is locked), `folder`, `kind`, `licence`, `source`, `classes`, `size`, `sha256`, `problem` |
| `model test` | `model`, `pictures`, `classes`, `embedding`, `load_ms`, `preprocess_ms`, `inference_ms`, `labels`, `warnings` |
| `model eval` | `photos`, `top1`, `top5`, `precision`, `coverage`, `ece` |
| `init` | `library_id`, `device_id`, `recovery_phrase` |
| `device add` | `code` as soon as there is one, then `device_id`, `name` when the newcomer is in |
| `device list` | `device_id`, `name`, `added_at`, `last_seen` (null where nothing of it has come), `revoked`, `this` |
| `join`, `recover` | `library_id`, `device_id`, `name` |
| `phrase replace` | `recovery_phrase` |
| `relay list` | `url` |
| `relay status` | `event`: `relay` (`url`, `reachable`, `synced_at`, `position`: read up to here, `newest`, `bytes`, `quota_bytes`, `objects`, `quota_objects`, and `error`, `message`, `hint`; what is not known is null), `alarm` (`name`, `message`, `hint`, `at`, `relay`) |
| `sync` | `event`: `progress` (`url`, `stage`, `done`, `total`, `bytes`), `relay` (`url`, `pulled`, `pushed`, `blobs_up`, `blobs_down`, `bytes_up`, `bytes_down`, `error`, `message`, `hint`), `alarm` (as above), and last `done` (`relays`, `reached`, the sums, `missing`, `alarms`, `seconds`) |
| `free` | `event`: `freed` (`id`, `bytes`) or `kept` (and `reason`), and last `done` (`freed`, `bytes`, `kept`, `dry_run`) |
| `verify` | `event`: `problem` (`name`, `thing`, `message`, `hint`, and `photo` and `file` of a photo's blob, or null), and last `done` (`problems` and the counts) |
| `doctor` | `check`, `ok`, `detail`, `hint` |
"""


def commands_page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    root = click.Context(application, info_name=PROGRAM)
    for title, commands in command_table.SECTIONS:
        parts.append(f"## {title}\n")
        for name, _, _ in commands:
            command = application.get_command(root, name)
            if command is not None:
                parts += _sections(click.Context(command, info_name=name, parent=root), "###")
    return "\n".join(parts)


def _sections(context: click.Context, heading: str) -> Iterator[str]:
    command = context.command
    yield f"{heading} {context.command_path}\n"
    if not isinstance(command, click.Group):
        pieces = " ".join(command.collect_usage_pieces(context))
        yield f"    {context.command_path} {pieces}\n"
    yield _text(command) + "\n"
    # Every command has these; the page says so once. By option and not by the row's text: click keeps a command's help
    # option from its first use, where it may have had `-h` before it.
    everywhere = {"--library", "--passphrase-file", "--help"}
    own = [parameter for parameter in command.get_params(context) if not everywhere & set(parameter.opts)]
    rows = [row for parameter in own if (row := parameter.get_help_record(context)) is not None]
    shown = [(names, about) for names, about in rows if about]
    if shown:
        yield "| option | |\n|---|---|\n" + "".join(
            f"| `{names}` | {about.replace('|', '&#124;')} |\n" for names, about in shown
        )
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            if part is not None:
                yield from _sections(click.Context(part, info_name=name, parent=context), heading + "#")


def _text(command: click.Command) -> str:
    """The help as Markdown: a paragraph that click leaves as it is (after \\b) is code."""  # noqa: D301 - the character itself is named
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    made = []
    for paragraph in paragraphs:
        if paragraph.startswith("\b"):
            made.append(textwrap.indent(paragraph.removeprefix("\b").strip("\n"), "    "))
        else:
            made.append(paragraph)
    return "\n\n".join(made)


if __name__ == "__main__":
    sys.stdout.write(commands_page())
