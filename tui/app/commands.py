"""The command palette: everything the present screen can do, by name. `noun: verb`, as in the table of keys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.app.keys import CONTEXTS, Action, shown_keys
from tui.app.themes import THEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.dom import DOMNode

# The app's own come last: what is looked for is mostly about what is on the screen.
_ACTIONS = {action.id: action for context in (*CONTEXTS[1:], CONTEXTS[0]) for action in context.actions}


class ActionCommands(Provider):
    """The actions of what has the focus, of the screen and of the app."""

    async def discover(self) -> Hits:
        """Yield everything."""
        for name, run, keys in self._commands():
            yield DiscoveryHit(name, run, help=keys)

    async def search(self, query: str) -> Hits:
        """Yield what a query is like."""
        matcher = self.matcher(query)
        for name, run, keys in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=keys)

    def _commands(self) -> Iterator[tuple[str, Callable[[], object], str]]:
        nodes: dict[str, DOMNode] = {}
        for active in self.screen.active_bindings.values():
            if active.enabled and active.binding.id:
                nodes.setdefault(active.binding.id, active.node)
        for identity, action in _ACTIONS.items():
            if identity in nodes and identity != "app.palette":
                yield action.name, partial(self._run, action, nodes[identity]), self._keys_of(action)
        for theme in THEMES:
            yield f"theme: {theme.name}", partial(setattr, self.app, "theme", theme.name), ""

    def _keys_of(self, action: Action) -> str:
        keys = self.app.settings.keys.get(action.id, action.keys) if hasattr(self.app, "settings") else action.keys
        return " ".join(shown_keys(keys))

    def _run(self, action: Action, node: DOMNode) -> None:
        self.app.call_later(self.app.run_action, action.call, node)
