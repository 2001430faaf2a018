"""The commands, in the order of the help: name, module, one line. Plain data: `--help` must not import anything.

A command is the attribute `command` of `tui.cli.commands.<module>`; a test holds the lines here and there together.
"""

from __future__ import annotations

SECTIONS = (
    (
        "Start",
        (
            ("init", "init", "Create a library and show its recovery phrase."),
            ("import", "import_", "Copy photos, or folders of them, into the library."),
            ("unlock", "unlock", "Keep the library open for a while, so that commands ask for no passphrase."),
            ("lock", "lock", "End what unlock began."),
        ),
    ),
    (
        "Find and look",
        (
            ("search", "search", "List the photos that a query finds."),
            ("show", "show", "Show everything known about a photo."),
            ("similar", "similar", "List the photos that look like one."),
            ("why", "why", "Say how a photo came to its labels."),
            ("duplicates", "duplicates", "List photos that show the same picture, and keep the best of each."),
            ("open", "open_", "Show a photo's original in another program."),
            ("export", "export", "Write originals and XMP sidecars to a folder."),
        ),
    ),
    (
        "Change",
        (
            ("label", "label", "Add, remove or list labels."),
            ("favourite", "favourite", "Mark photos as favourites, or take the mark away."),
            ("rate", "rate", "Give photos 0 to 5 stars."),
            ("caption", "caption", "Write a caption."),
            ("date", "date", "Correct when photos were taken."),
            ("rotate", "rotate", "Turn photos by quarter turns."),
            ("album", "album", "Make albums, fill them and list them."),
            ("trash", "trash", "Put photos into the trash."),
            ("restore", "restore", "Take photos out of the trash."),
            ("purge", "purge", "Destroy photos for good."),
            ("undo", "undo", "Take back the last edit, import or bulk edit."),
            ("log", "log", "List what was done, newest first."),
        ),
    ),
    (
        "Models",
        (
            ("model", "model", "List, add, choose and try the models that label photos."),
            ("teach", "teach", "Teach a label by photos that show it."),
            ("vocabulary", "vocabulary", "Make any words a label of the photos that look like them."),
            ("retag", "retag", "Label photos again with the model in use."),
        ),
    ),
    (
        "Sync",
        (
            ("relay", "relay", "Name the relays through which the devices of a library meet."),
            ("sync", "sync", "Send what is new here to the relays, and fetch what is new there."),
            ("free", "free", "Remove originals from this device that are safe elsewhere."),
        ),
    ),
    (
        "Devices",
        (
            ("device", "device", "Add, list, rename and revoke the devices of a library."),
            ("join", "join", "Become a device of a library, with the code that one of its devices shows."),
            ("recover", "recover", "Bring a library back with its recovery phrase."),
            ("phrase", "phrase", "Replace the recovery phrase by another one."),
        ),
    ),
    (
        "Keep safe",
        (
            ("verify", "verify", "Check that everything stored is what was written."),
            ("rebuild", "rebuild", "Make the derived files anew from the log."),
            ("passphrase", "passphrase", "Change the passphrase of this device."),
            ("doctor", "doctor", "Check this installation and say what is missing."),
        ),
    ),
)

USAGE = "Usage: safelight [OPTIONS] COMMAND [ARGS]..."

INTRODUCTION = "Safelight: a photo library that is encrypted on your own device and labelled there."

OPTIONS = (
    ("--library DIR", "The library's folder. Default: SAFELIGHT_LIBRARY, else the platform's data folder."),
    ("--passphrase-file FILE", "Read the passphrase from FILE. Default: SAFELIGHT_PASSPHRASE_FILE, else ask."),
    ("--version", "Show the version."),
    ("-h, --help", "Show this help; every command has one of its own."),
)


def module_of(name: str) -> str | None:
    """The module of the command `name`, or None when there is no such command."""
    for _, commands in SECTIONS:
        for command, module, _ in commands:
            if command == name:
                return f"tui.cli.commands.{module}"
    return None


def command_names() -> list[str]:
    """All commands in the order of the help."""
    return [name for _, commands in SECTIONS for name, _, _ in commands]


def short_help(name: str) -> str:
    """The one line of the command `name`; empty when there is no such command."""
    return next((line for _, commands in SECTIONS for command, _, line in commands if command == name), "")


def help_text() -> str:
    """What `safelight --help` prints."""
    lines = [USAGE, "", f"  {INTRODUCTION}", ""]
    option_width = max(len(option) for option, _ in OPTIONS) + 2
    lines.append("Options:")
    lines += [f"  {option:<{option_width}}{line}" for option, line in OPTIONS]
    name_width = max(len(name) for name in command_names()) + 2
    for title, commands in SECTIONS:
        lines += ["", f"{title}:"]
        lines += [f"  {name:<{name_width}}{line}" for name, _, line in commands]
    lines += [
        "",
        "Exit status: 0 done, 1 failed, 2 usage, 3 locked or wrong passphrase, 4 integrity alarm, 5 relay out of",
        "reach, 6 refused by the relay, 7 partly done.",
    ]
    return "\n".join(lines) + "\n"
