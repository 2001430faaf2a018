"""What is done with the original of the photo that is shown: got from a relay, opened in another program."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING, Protocol

from core.errors import CoreError
from tui.app.error_lines import in_a_line
from tui.app.screen_work import work
from tui.app.screens.ask import ConfirmScreen
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.fetching import FetchEnded, fetch_original
from tui.app.workers.library_thread import NotOpen
from tui.plain_copy import NoViewer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tui.app.app import SafelightApp
    from tui.app.workers.pictures import Pictures

_WARNING = (
    "Other programs read files: the photo is written in the clear, to a folder that only you can enter, in memory "
    "where the system offers that. The file is removed when the program ends, or, where that cannot be seen, when you "
    "lock the library or leave the app.\n\n"
    "What the other program keeps of it (recent files, thumbnails) is out of reach."
)


class _Showing(Protocol):
    app: SafelightApp
    pictures: Pictures

    @property
    def pid(self) -> bytes: ...
    def say(self, text: str, *, error: bool = False) -> None: ...
    def show_anew(self) -> None: ...
    def notice(self, text: str) -> None: ...
    async def with_original(self, then: Callable[[], None] | None) -> bool: ...
    def query_one(self, kind: type[StatusLine]) -> StatusLine: ...


class PhotoOriginal:
    """The actions; mixed into the photo screen."""

    @work(exclusive=True, group="fetch")
    async def action_fetch(self: _Showing) -> None:
        """Get the original from a relay."""
        pid = self.pid
        if await self.with_original(None):
            self.say("the original is here")
            self.pictures.forget(pid)
            if self.pid == pid:
                self.show_anew()

    @work(exclusive=True, group="ask")
    async def action_open_outside(self: _Showing) -> None:
        """Open the original in another program, after a warning."""
        pid = self.pid
        if not await self.app.push_screen_wait(ConfirmScreen("Open in another program?", _WARNING, yes="Open")):
            return
        library, viewers = self.app.library, self.app.viewers
        if await self.with_original(lambda: viewers.show(library.library, pid)):
            self.say("opened in another program")

    async def with_original(self: _Showing, then: Callable[[], None] | None) -> bool:
        """Get the original here, then do something in the same thread; tells whether all went well, and says if not."""
        library, pid = self.app.library, self.pid
        status = self.query_one(StatusLine)
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def tell(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the app has ended
                loop.call_soon_threadsafe(status.going_on, text, context=context)

        def tell_problem(text: str) -> None:
            if self.pid == pid:
                self.notice(text)
            else:  # another photo is shown by now
                self.say(text, error=True)

        def work_(stop: threading.Event) -> None:
            fetch_original(library.library, pid, tell, stop)
            if then is not None:
                then()

        try:
            await self.app.syncing.errand(work_)
        except CoreError as error:
            tell_problem(in_a_line(error))
        except (NoViewer, OSError) as error:
            tell_problem(str(error))
        except (NotOpen, FetchEnded):
            pass
        else:
            return True
        finally:
            status.going_on("")
        return False
