"""Every action of the app and its keys: one table that bindings, help, palette and docs/keys.md are made from.

An action's id is what people rebind in `keys.toml`; its name is what the palette shows, `noun: verb`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.binding import BindingType


@dataclass(frozen=True)
class Action:
    """One thing a key does.

    Attributes:
        id: for rebinding, unique.
        keys: Textual's names, separated by commas.
        call: Textual's action, with its arguments.
        name: for the palette and the help; starts with the noun.
        footer: a word for the line of keys; empty where there is no room for it.
        priority: whether it comes before the widget that has the focus (a line of text, mostly).
    """

    id: str
    keys: str
    call: str
    name: str
    footer: str = ""
    priority: bool = False


@dataclass(frozen=True)
class Context:
    """Where a group of actions works."""

    title: str
    about: str
    actions: tuple[Action, ...]


APP = Context(
    "Everywhere",
    "These work on every screen.",
    (
        Action("app.help", "f1", "help_keys", "help: keys of what has the focus", "Help", priority=True),
        Action("app.palette", "ctrl+p", "command_palette", "app: find a command", "Commands", priority=True),
        Action("app.jump", "ctrl+o", "jump", "app: jump to anything on the screen", priority=True),
        Action("app.theme", "f2", "next_theme", "app: next theme", priority=True),
        Action("app.lock", "ctrl+l", "lock", "library: lock", priority=True),
        Action("app.quit", "ctrl+q", "quit", "app: quit", priority=True),
    ),
)

LIBRARY = Context(
    "Library",
    "The grid, the sidebar and the search line. Actions on photos are about those that are marked, or, without marks, "
    "about the one under the cursor.",
    (
        Action("library.search", "slash", "search", "search: type a query", "Search", priority=True),
        Action("library.escape", "escape", "back_out", "library: back to the grid, then clear marks, then the search"),
        Action("library.sidebar", "b", "toggle_sidebar", "view: show or hide the sidebar"),
        Action("library.goto", "o", "go_to_list", "go to: a label, an album or a saved search"),
        Action("library.sort", "s", "sort", "view: sort by the next field"),
        Action("library.reverse", "S", "reverse", "view: reverse the order"),
        Action("library.larger", "plus,equals_sign", "density(1)", "view: larger tiles"),
        Action("library.smaller", "minus", "density(-1)", "view: smaller tiles"),
        Action("library.save_search", "ctrl+s", "save_search", "search: save it under a name"),
        Action("library.forget_search", "ctrl+d", "forget_search", "search: forget a saved one"),
        Action("library.cull", "c", "cull", "photos: cull those marked, or all that are shown", "Cull"),
        Action("library.name_place", "P", "name_place", "place: name the one that is shown"),
        Action("library.similar", "m", "similar", "photo: show similar ones"),
        Action("library.import", "i", "import_photos", "photos: import a folder", "Import"),
        Action("library.refresh", "f5", "reload", "view: read the library again"),
        Action("photos.label", "t", "add_label", "photos: add a label", "Label"),
        Action("photos.unlabel", "T", "remove_label", "photos: take a label off"),
        Action("photos.teach", "L", "teach", "label: teach one by these photos"),
        Action("library.review", "Y", "review_taught", "label: say yes or no to photos of a taught one"),
        Action("photos.album", "a", "add_to_album", "photos: put into an album"),
        Action("photos.leave_album", "A", "leave_album", "photos: take out of an album"),
        Action("photos.favourite", "f", "favourite", "photos: favourite, or not"),
        Action("photos.rate_1", "1", "rate(1)", "photos: rate ★"),
        Action("photos.rate_2", "2", "rate(2)", "photos: rate ★★"),
        Action("photos.rate_3", "3", "rate(3)", "photos: rate ★★★"),
        Action("photos.rate_4", "4", "rate(4)", "photos: rate ★★★★"),
        Action("photos.rate_5", "5", "rate(5)", "photos: rate ★★★★★"),
        Action("photos.rate_0", "0", "rate(0)", "photos: no rating"),
        Action("photos.trash", "d,delete", "trash", "photos: into the trash"),
        Action("photos.restore", "R", "restore", "photos: out of the trash"),
        Action("library.undo", "u", "undo", "library: undo the last edit", "Undo"),
        Action("library.devices", "D", "devices", "devices: list, add, rename, revoke"),
        Action("library.relays", "N", "relays", "relays: list, use, remove"),
        Action("library.alarms", "exclamation_mark", "alarms", "alarms: what is wrong, and what to do"),
        Action("library.sync", "f6", "sync_now", "sync: with all relays, now"),
        Action("library.models", "M", "models", "models: list, add, use, try; label again"),
        Action("library.settings", "comma", "settings", "settings: looks, lock, passphrase, space"),
        Action("library.work", "w", "show_work", "work: how far what takes long is"),
    ),
)

GRID = Context(
    "Grid of photos",
    "Moving and marking. While a range is being marked, every move marks what it passes.",
    (
        Action("grid.left", "left,h", "move(-1)", "grid: previous photo"),
        Action("grid.right", "right,l", "move(1)", "grid: next photo"),
        Action("grid.up", "up,k", "rows(-1)", "grid: row above"),
        Action("grid.down", "down,j", "rows(1)", "grid: row below"),
        Action("grid.page_up", "pageup", "pages(-1)", "grid: page up"),
        Action("grid.page_down", "pagedown", "pages(1)", "grid: page down"),
        Action("grid.first", "home,g", "edge('first')", "grid: first photo"),
        Action("grid.last", "end,G", "edge('last')", "grid: last photo"),
        Action("grid.day_before", "left_square_bracket", "hop('day',-1)", "timeline: previous day"),
        Action("grid.day_after", "right_square_bracket", "hop('day',1)", "timeline: next day"),
        Action("grid.month_before", "left_curly_bracket,ctrl+up", "hop('month',-1)", "timeline: previous month"),
        Action("grid.month_after", "right_curly_bracket,ctrl+down", "hop('month',1)", "timeline: next month"),
        Action("grid.year_before", "less_than_sign,ctrl+pageup", "hop('year',-1)", "timeline: previous year"),
        Action("grid.year_after", "greater_than_sign,ctrl+pagedown", "hop('year',1)", "timeline: next year"),
        Action("grid.open", "enter", "open", "photo: show it large", "Open"),
        Action("grid.mark", "space", "mark", "marks: mark the photo, or not", "Mark"),
        Action("grid.range", "v", "range", "marks: begin or end a range"),
        Action("grid.extend_left", "shift+left", "extend(-1)", "marks: extend to the previous photo"),
        Action("grid.extend_right", "shift+right", "extend(1)", "marks: extend to the next photo"),
        Action("grid.extend_up", "shift+up", "extend(0,-1)", "marks: extend to the row above"),
        Action("grid.extend_down", "shift+down", "extend(0,1)", "marks: extend to the row below"),
        Action("grid.mark_all", "ctrl+a", "mark_all", "marks: mark everything shown"),
        Action("grid.clear", "ctrl+u", "clear_marks", "marks: take all away"),
    ),
)

SEARCH = Context(
    "Search line",
    "Results appear as you type. docs/search.md has the language.",
    (
        Action("search.done", "enter", "done", "search: to the photos found"),
        Action("search.complete", "tab", "complete", "search: take the completion", priority=True),
        Action("search.next", "down", "choice(1)", "search: next completion"),
        Action("search.previous", "up", "choice(-1)", "search: previous completion"),
    ),
)

PHOTO = Context(
    "One photo",
    "Looking at a photo, and at what is known of it.",
    (
        Action("photo.back", "escape,q,enter", "back", "photo: back to the grid", "Back"),
        Action("photo.next", "right,l,space,pagedown", "step(1)", "photo: next", "Next"),
        Action("photo.previous", "left,h,backspace,pageup", "step(-1)", "photo: previous", "Prev"),
        Action("photo.label_down", "down,j", "choose(1)", "labels: next"),
        Action("photo.label_up", "up,k", "choose(-1)", "labels: previous"),
        Action("photo.confirm", "y", "confirm", "label: confirm it", "Right"),
        Action("photo.reject", "n", "reject", "label: reject it", "Wrong"),
        Action("photo.label", "t", "add_label", "photo: add a label", "Label"),
        Action("photo.why", "w", "why", "label: why it is there"),
        Action("photo.caption", "c", "caption", "photo: write a caption", "Caption"),
        Action("photo.date", "D", "date", "photo: correct the date"),
        Action("photo.album", "a", "add_to_album", "photo: put into an album"),
        Action("photo.favourite", "f", "favourite", "photo: favourite, or not"),
        Action("photo.rate_1", "1", "rate(1)", "photo: rate ★"),
        Action("photo.rate_2", "2", "rate(2)", "photo: rate ★★"),
        Action("photo.rate_3", "3", "rate(3)", "photo: rate ★★★"),
        Action("photo.rate_4", "4", "rate(4)", "photo: rate ★★★★"),
        Action("photo.rate_5", "5", "rate(5)", "photo: rate ★★★★★"),
        Action("photo.rate_0", "0", "rate(0)", "photo: no rating"),
        Action("photo.rotate", "r", "rotate(90)", "photo: turn clockwise"),
        Action("photo.rotate_back", "R", "rotate(270)", "photo: turn the other way"),
        Action("photo.trash", "d,delete", "trash", "photo: into the trash, or out of it"),
        Action("photo.undo", "u", "undo", "library: undo the last edit"),
        Action("photo.similar", "m", "similar", "photo: show similar ones"),
        Action("photo.fetch", "g", "fetch", "photo: get the original from a relay"),
        Action("photo.outside", "o", "open_outside", "photo: open in another program"),
        Action("photo.facts", "i", "toggle_facts", "view: show or hide the facts"),
        Action("photo.zoom_in", "plus,equals_sign", "zoom(1)", "picture: zoom in"),
        Action("photo.zoom_out", "minus", "zoom(-1)", "picture: zoom out"),
        Action("photo.zoom_fit", "z", "zoom(0)", "picture: whole, or its own size"),
        Action("photo.pan_left", "shift+left,H", "pan(-1,0)", "picture: look further left"),
        Action("photo.pan_right", "shift+right,L", "pan(1,0)", "picture: look further right"),
        Action("photo.pan_up", "shift+up,K", "pan(0,-1)", "picture: look further up"),
        Action("photo.pan_down", "shift+down,J", "pan(0,1)", "picture: look further down"),
    ),
)

CULL = Context(
    "Culling",
    "One photo after the other, near-duplicates beside each other. Nothing is changed until it is confirmed at the "
    "end; rejected photos go into the trash.",
    (
        Action("cull.leave", "escape,q,enter", "leave", "cull: end, and ask what becomes of it", "Done"),
        Action("cull.keep", "up,k,space", "keep", "cull: keep it; of near-duplicates this one", "Keep"),
        Action("cull.reject", "down,j,x,delete", "reject", "cull: reject it", "Reject"),
        Action("cull.keep_all", "a", "keep_all", "cull: keep all that are beside each other", "Keep all"),
        Action("cull.favourite", "f", "favourite", "cull: favourite, or not", "Fav"),
        Action("cull.rate_1", "1", "rate(1)", "cull: rate ★"),
        Action("cull.rate_2", "2", "rate(2)", "cull: rate ★★"),
        Action("cull.rate_3", "3", "rate(3)", "cull: rate ★★★"),
        Action("cull.rate_4", "4", "rate(4)", "cull: rate ★★★★"),
        Action("cull.rate_5", "5", "rate(5)", "cull: rate ★★★★★"),
        Action("cull.rate_0", "0", "rate(0)", "cull: no rating"),
        Action("cull.undo", "u", "undo", "cull: take the last decision back", "Undo"),
        Action("cull.next", "right,l", "move(1)", "cull: next photo"),
        Action("cull.previous", "left,h", "move(-1)", "cull: previous photo"),
        Action("cull.zoom_in", "plus,equals_sign", "zoom(1)", "picture: zoom in"),
        Action("cull.zoom_out", "minus", "zoom(-1)", "picture: zoom out"),
        Action("cull.zoom_fit", "z", "zoom(0)", "picture: whole, or its own size"),
        Action("cull.pan_left", "shift+left,H", "pan(-1,0)", "picture: look further left"),
        Action("cull.pan_right", "shift+right,L", "pan(1,0)", "picture: look further right"),
        Action("cull.pan_up", "shift+up,K", "pan(0,-1)", "picture: look further up"),
        Action("cull.pan_down", "shift+down,J", "pan(0,1)", "picture: look further down"),
    ),
)

SIMILAR = Context(
    "Similar photos",
    "Photos that look like one of yours, the most similar first; near-duplicates stand in front. Moving and marking is "
    "as in the grid.",
    (
        Action("similar.back", "escape,q", "back", "similar: back", "Back"),
        Action("similar.again", "m", "similar", "photo: show similar ones", "Similar"),
        Action("similar.cull", "c", "cull", "photos: cull those marked, or all that are shown", "Cull"),
    ),
)

IMPORT = Context(
    "Import",
    "An import goes on while you look at the library; this screen shows how far it is.",
    (
        Action("import.back", "escape,q,enter", "back", "import: back to the library", "Back"),
        Action("import.stop", "x", "stop", "import: stop after what is begun", "Stop"),
    ),
)

DEVICES = Context(
    "Devices",
    "Who belongs to the library. Names can be changed; a fingerprint is the same on every device.",
    (
        Action("devices.back", "escape,q", "back", "devices: back to the library", "Back"),
        Action("devices.add", "a", "add", "devices: add one, with a code", "Add"),
        Action("devices.rename", "r,enter", "rename", "device: another name", "Rename"),
        Action("devices.revoke", "x,delete", "revoke", "device: take it out of the library", "Revoke"),
        Action("devices.refresh", "f5", "reload", "devices: read the list again"),
    ),
)

PAIRING = Context(
    "Adding a device",
    "The code is good once, for a few minutes. Leaving this screen ends it.",
    (
        Action("pairing.back", "escape,q", "back", "pairing: end it", "Back"),
        Action("pairing.again", "n", "again", "pairing: a new code", "New code"),
    ),
)

RELAYS = Context(
    "Relays",
    "Where the devices of the library meet. All devices use the same.",
    (
        Action("relays.back", "escape,q", "back", "relays: back to the library", "Back"),
        Action("relays.use", "a", "use", "relays: use one more", "Use"),
        Action("relays.remove", "x,delete", "remove", "relay: stop using it", "Remove"),
        Action("relays.sync", "s,f6", "sync_now", "sync: with all relays, now", "Sync"),
        Action("relays.refresh", "r,f5", "reload", "relays: ask them again", "Ask"),
    ),
)

ALARMS = Context(
    "Alarms",
    "What is wrong, and what to do. Alarms that were looked at stay here until they are cleared.",
    (
        Action("alarms.back", "escape,q", "back", "alarms: back to the library", "Back"),
        Action("alarms.clear", "c", "clear", "alarms: clear them all", "Clear"),
        Action("alarms.refresh", "f5", "reload", "alarms: read the list again"),
    ),
)

MODELS = Context(
    "Models",
    "What labels photos. Models are on this machine; which one a library uses is the same on all its devices.",
    (
        Action("models.back", "escape,q", "back", "models: back to the library", "Back"),
        Action("models.use", "u,enter", "use", "model: let it label this library's photos", "Use"),
        Action("models.add", "a", "add", "models: add one, from a folder or an address", "Add"),
        Action("models.get", "g", "get", "models: get one that is known by its name", "Get"),
        Action("models.remove", "x,delete", "remove", "model: delete it from this machine", "Remove"),
        Action("models.test", "t", "test", "model: try it on generated pictures", "Test"),
        Action("models.retag", "r", "retag", "photos: label them with the model in use", "Label"),
        Action("models.refresh", "f5", "reload", "models: read the list again"),
    ),
)

SETTINGS = Context(
    "Settings",
    "Looks and lock of the app, what this device keeps, passphrase and recovery phrase, space, and checking.",
    (
        Action("settings.back", "escape,q", "back", "settings: back to the library", "Back"),
        Action(
            "settings.next", "enter,right,space", "change(1)", "setting: next value, or do it", "Change", priority=True
        ),
        Action("settings.previous", "left", "change(-1)", "setting: value before", priority=True),
    ),
)

TEACHING = Context(
    "Teaching a label",
    "The photos that a taught label is surest of, and those that it is least sure of. Moving and marking is as in the "
    "grid; each answer teaches.",
    (
        Action("teaching.yes", "y", "answer(True)", "photos: yes, they show it", "Yes"),
        Action("teaching.no", "n", "answer(False)", "photos: no, they do not", "No"),
        Action("teaching.again", "r", "again", "photos: ask about others", "Others"),
        Action("teaching.forget", "x", "forget", "label: forget what was taught", "Forget"),
        Action("teaching.back", "escape,q", "back", "teaching: back to the library", "Back"),
    ),
)

WORK = Context(
    "Long work",
    "Labelling again, freeing space, verifying, adding a model: it goes on while you look at the library.",
    (
        Action("work.back", "escape,q,enter", "back", "work: back, it goes on", "Back"),
        Action("work.stop", "x", "stop", "work: stop after what is begun", "Stop"),
    ),
)

CONTEXTS = (
    APP,
    LIBRARY,
    GRID,
    SEARCH,
    PHOTO,
    CULL,
    SIMILAR,
    IMPORT,
    DEVICES,
    PAIRING,
    RELAYS,
    ALARMS,
    MODELS,
    SETTINGS,
    TEACHING,
    WORK,
)


def bindings(context: Context) -> list[BindingType]:
    """Return the bindings of a context, to be a screen's or widget's `BINDINGS`."""
    return [
        Binding(
            action.keys,
            action.call,
            action.footer or action.name,
            show=bool(action.footer),
            priority=action.priority,
            id=action.id,
            tooltip=action.name,
        )
        for action in context.actions
    ]


def action_ids() -> frozenset[str]:
    """Return the ids of all actions."""
    return frozenset(action.id for context in CONTEXTS for action in context.actions)


_SHOWN = {
    "slash": "/", "plus": "+", "equals_sign": "=", "minus": "-", "left_square_bracket": "[",
    "right_square_bracket": "]", "left_curly_bracket": "{", "right_curly_bracket": "}", "less_than_sign": "<",
    "greater_than_sign": ">", "left": "←", "right": "→", "up": "↑", "down": "↓", "pageup": "page up",
    "pagedown": "page down", "escape": "esc", "exclamation_mark": "!", "comma": ",",
}  # fmt: skip


def shown_keys(keys: str) -> list[str]:
    """Return keys as people read them: `ctrl+↑`, `/`, `F1`."""
    return [_shown(key.strip()) for key in keys.split(",")]


def _shown(key: str) -> str:
    *modifiers, name = key.split("+")
    named = _SHOWN.get(name, name.upper() if name[:1] == "f" and name[1:].isdigit() else name)
    return "+".join([*modifiers, named])


def page(contexts: Iterable[Context] = CONTEXTS) -> str:
    """Return docs/keys.md."""
    lines = [
        "# Keys of the app",
        "",
        "Made from the program's own table; a test holds them together. The first column is the name to rebind an",
        "action by, in `keys.toml` in the platform's folder for settings (`~/.config/safelight` on Linux), or where",
        "`SAFELIGHT_CONFIG_DIR` says. What else can be set is in `app.toml` beside it: docs/app.md has all of it.",
        "",
        "```toml",
        "[keys]",
        '"photos.favourite" = "f,asterisk"',
        "```",
        "",
        "Everything can also be found in the command palette (ctrl+p), and reached with the mouse.",
    ]
    for context in contexts:
        lines += ["", f"## {context.title}", "", context.about, "", "| action | keys | what it does |", "|---|---|---|"]
        for action in context.actions:
            keys = " ".join(f"`{key}`" for key in shown_keys(action.keys))
            lines.append(f"| `{action.id}` | {keys} | {action.name} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
