"""`safelight album`: make albums, fill them and list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, json_option, library_options, photos_or_query

if TYPE_CHECKING:
    from core.library import Library
    from tui.cli.session import Session


@click.group("album")
def command() -> None:
    """Make albums, fill them and list them.

    An album is named by its name, or by a beginning of its id where two have the same name.
    """


def album_id(library: Library, name: str) -> str:
    """The id of the one album that `name` means.

    Raises:
        NoSuchAlbum: none has this name or id, or several do.
    """
    from core.errors import NoSuchAlbum

    albums = library.catalog.albums()
    folded = name.strip().casefold()
    by_name = [album for album in albums if album.name.casefold() == folded]
    found = by_name or [album for album in albums if album.id.startswith(folded)]
    if len(found) == 1:
        return found[0].id
    shown = output.plain(name)
    if not found:
        raise NoSuchAlbum(
            f"there is no album '{shown}'", hint="`safelight album list` shows all; `album create NAME` makes one."
        )
    ids = ", ".join(album.id[:8] for album in found)
    raise NoSuchAlbum(f"{len(found)} albums are meant by '{shown}'", hint=f"Use the beginning of an id: {ids}.")


@command.command("create")
@click.argument("name")
@library_options
def create(session: Session, name: str) -> None:
    """Make an empty album and print its id."""
    from core import edits

    with session.open_library() as library:
        output.line(edits.create_album(library, name))


@command.command("add")
@click.argument("album")
@photos_or_query
@library_options
def add(session: Session, album: str, photos: tuple[str, ...], query: str | None) -> None:
    """Put photos into ALBUM, behind those that are there."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.add_to_album(library, pids, album_id(library, album))
    output.say(f"Put {output.count(len(pids), 'photo')} into '{output.plain(album)}'.")


@command.command("remove")
@click.argument("album")
@photos_or_query
@library_options
def remove(session: Session, album: str, photos: tuple[str, ...], query: str | None) -> None:
    """Take photos out of ALBUM; they stay in the library."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.remove_from_album(library, pids, album_id(library, album))
    output.say(f"Took {output.count(len(pids), 'photo')} out of '{output.plain(album)}'.")


@command.command("rename")
@click.argument("album")
@click.argument("name")
@library_options
def rename(session: Session, album: str, name: str) -> None:
    """Give ALBUM another name."""
    from core import edits

    with session.open_library() as library:
        edits.rename_album(library, album_id(library, album), name)


@command.command("delete")
@click.argument("album")
@library_options
def delete(session: Session, album: str) -> None:
    """Remove ALBUM; its photos stay in the library."""
    from core import edits

    with session.open_library() as library:
        edits.delete_album(library, album_id(library, album))
    output.say(f"Removed the album '{output.plain(album)}'; its photos are still here.")


@command.command("list")
@json_option
@library_options
def list_(session: Session, as_json: bool) -> None:
    """List the albums and how many photos are in each."""
    with session.open_library() as library:
        albums = library.catalog.albums()
    if as_json:
        output.json_lines({"id": album.id, "name": album.name, "photos": album.photos} for album in albums)
        return
    for album in albums:
        output.line(f"{album.photos:>7}  {album.id[:8]}  {output.plain(album.name)}")
