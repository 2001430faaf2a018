"""The click application: a group that imports a command's module only when that command is run, and the one place where
errors become a line on stderr and an exit code.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli import command_table, exit_codes, output
from tui.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "safelight"
_COMPLETION_VARIABLE = "_SAFELIGHT_COMPLETE"


class LazyGroup(click.Group):
    """The top-level group; its help is the static table."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """All commands in the order of the help."""
        return command_table.command_names()

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import the module of the command `name`, which holds it as `command`."""
        module = command_table.module_of(name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if arguments and command_table.module_of(arguments[0]) is None and not arguments[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(arguments[0], command_table.command_names(), n=1)
            meant = f"did you mean '{near[0]}'? " if near else ""
            raise UnknownCommand(
                f"there is no command '{output.plain(arguments[0])}'", hint=f"{meant}'safelight --help' lists them all"
            )
        return super().resolve_command(context, arguments)

    def get_help(self, _context: click.Context) -> str:
        """The static help."""
        return command_table.help_text().rstrip("\n")


class UnknownCommand(click.UsageError):
    """A command that does not exist, with the nearest one as `hint`."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.line(f"safelight {version('safelight')}")
        context.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--library", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--passphrase-file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version)
@click.pass_context
def application(context: click.Context, library: Path | None, passphrase_file: Path | None) -> int | None:
    """A photo library that is encrypted on your own device and labelled there."""
    session: Session = context.obj
    session.library = library
    session.passphrase_file = passphrase_file
    if context.invoked_subcommand is not None:
        return None
    if _app_can_run():
        from tui.app.launch import run_app

        return run_app(session)
    from tui.cli.welcome import show_status

    show_status(session)
    return None


def _app_can_run() -> bool:
    """Whether somebody sits at a terminal that can do more than print; Textual draws on standard error."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(map(output.is_terminal, streams)) and os.environ.get("TERM") != "dumb"


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns its exit code; expected errors are shown, never raised."""
    from core.core_dumps import forbid_core_dumps

    output.prepare_streams()
    # Before anything is typed: most commands, and the app, hold keys sooner or later.
    forbid_core_dumps()
    try:
        code = _invoke(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader had enough (`| head`). Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.DONE
    except (KeyboardInterrupt, click.Abort):
        output.error("stopped")
        return exit_codes.INTERRUPTED
    return code


def _invoke(arguments: list[str]) -> int:
    if instruction := os.environ.get(_COMPLETION_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(application, {}, PROGRAM, _COMPLETION_VARIABLE, instruction)
    session = Session()
    try:
        with application.make_context(PROGRAM, arguments, obj=session) as context:
            result: Any = application.invoke(context)
    except click.exceptions.Exit as finished:
        return int(finished.exit_code)
    except click.UsageError as error:
        output.error(_usage_message(error), _usage_hint(error))
        return exit_codes.USAGE
    except click.ClickException as error:
        output.error(error.format_message())
        return exit_codes.FAILED
    except (click.Abort, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: nobody is shown a traceback; see _report
        return _report(error, session)
    code = result if isinstance(result, int) else exit_codes.DONE
    return exit_codes.INTEGRITY_ALARM if code == exit_codes.DONE and session.alarms else code


def _usage_message(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _usage_hint(error: click.UsageError) -> str:
    hint = getattr(error, "hint", None)
    if isinstance(hint, str):
        return hint
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    return f"'{path} --help' shows how it is used"


def _report(error: Exception, session: Session) -> int:
    """Show `error` without a traceback; one that nobody expected says where it came from, and how to see the rest."""
    from core.errors import CoreError, QueryError

    if isinstance(error, CoreError):
        if str(error) not in session.alarms:
            pointer = _pointer(error.query, error.column, error.length) if isinstance(error, QueryError) else ()
            output.error(str(error), error.hint, *pointer)
        return exit_codes.exit_code(error)
    if isinstance(error, OSError) and error.strerror:
        about = f"{output.plain(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
        output.error(f"{about}{error.strerror}")
        return exit_codes.FAILED
    if isinstance(error, ModuleNotFoundError):
        output.error(f"this installation lacks the module {error.name}", "`safelight doctor` says what is missing")
        return exit_codes.FAILED
    if os.environ.get("SAFELIGHT_TRACEBACK"):
        raise error
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
    # Not the message: that of an unexpected error may quote anything, also what must not be shown.
    output.error(
        f"an error of the program itself: {type(error).__name__}{where}",
        "please report it; SAFELIGHT_TRACEBACK=1 shows where it happened",
    )
    return exit_codes.FAILED


def _pointer(query: str, column: int, length: int) -> tuple[str, ...]:
    """The query, and a mark under the place of the fault."""
    from tui.cli.cells import width

    shown = output.plain(query)
    if not query:
        return ()
    start, wrong = output.plain(query[:column]), output.plain(query[column : column + length])
    return (f"  {shown}", "  " + " " * width(start) + "^" * max(1, width(wrong)))
