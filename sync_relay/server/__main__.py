"""The command `safelight-relay`: serve, invite, stats, backup, restore, doctor."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sync_relay.errors import RelayError
from sync_relay.server.settings import THIS_MACHINE, Settings, from_environment
from sync_relay.wire import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_relay.server.maintenance import Examined
    from sync_relay.server.parts import Parts

_USAGE: Final = 2
_ID_BYTES: Final = 32
_FAILED: Final = 1
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtKMGT]?)(i?)[bB]?", re.ASCII)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_PLAIN_HOSTS: Final = {"127.0.0.1", "localhost", "::1"}


def main() -> None:
    """Run the command line and end the process with its exit code: 0 done, 1 failed, 2 usage."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if "obstore" in sys.modules:
        # Its threads may still be letting go of what they were given. Where the interpreter takes itself apart
        # meanwhile, the process aborts: measured at the end of one command in eight on S3.
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = _settings(options)
        if options.command == "serve":
            return _serve(settings)
        return asyncio.run(_COMMANDS[options.command](settings, options))
    except _Misused as error:
        parser.error(str(error))
    except RelayError as error:
        return _fail(str(error), error.hint)
    except OSError as error:
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", None)
    except ModuleNotFoundError as error:
        return _fail(
            f"{error.name} is not installed, which this relay's database or storage needs",
            "Install the relay with it, for example `pip install 'psycopg[binary]'` for PostgreSQL.",
        )


class _Misused(Exception):
    """Options that do not go together."""


def read_size(text: str) -> int:
    """Return the bytes of `50GB` (powers of 1000), `50GiB` (of 1024) or `1000`."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write for example 50GB")
    number, unit, binary = found.groups()
    size = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])
    if not 1 <= size < 1 << 62:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size that a library can have")
    return size


def read_origin(text: str) -> str:
    """Return an origin as clients sign it: scheme, host and a port that is not the scheme's own, in lower case."""
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = -1
    plain = parts.scheme == "http" and parts.hostname in _PLAIN_HOSTS
    if port == -1 or not parts.hostname or not (parts.scheme == "https" or plain) or parts.path.strip("/"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address that clients accept: https://HOST[:PORT], or http:// on this machine only"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port in {None, {"http": 80, "https": 443}[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def read_library(text: str) -> bytes:
    """Return a library's id, 64 hexadecimal digits."""
    try:
        library = bytes.fromhex(text)
    except ValueError:
        library = b""
    if len(library) != _ID_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no id of a library: 64 hexadecimal digits")
    return library


def read_proxy(text: str) -> str:
    """Return the address or the network of a proxy, as `192.0.2.7` or `10.0.0.0/8`."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an address nor a network, such as 192.0.2.7 or 10.0.0.0/8"
        ) from None
    if network.prefixlen == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is everybody: anyone could then say to come from anywhere")
    # Spelt as the HTTP server reads it: of a network with bits beyond its prefix, it would believe nobody.
    return str(network) if network.num_addresses > 1 else str(network.network_address)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="safelight-relay",
        description="A relay keeps what devices of a Safelight library send each other, and can read none of it.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the relay until it is told to stop")
    invite = commands.add_parser("invite", help="print an invite: it lets somebody found one library here")
    stats = commands.add_parser("stats", help="print sums over all libraries")
    quota = commands.add_parser("quota", help="show what a library takes and may take, and change that")
    remove = commands.add_parser("remove", help="remove a library and everything of it")
    backup = commands.add_parser("backup", help="copy the relay, running or not, into a new folder")
    restore = commands.add_parser("restore", help="make the relay anew, in an empty folder, from a backup")
    doctor = commands.add_parser("doctor", help="say how the relay is, and whether every blob is where it should be")
    quota.add_argument("library", type=read_library, metavar="LIBRARY", help="its id, which its devices show")
    quota.add_argument("--quota", type=read_size, default=None, help="what it may take from now on")
    quota.add_argument("--objects", type=int, default=None, help="how many envelopes and files it may have")
    remove.add_argument("library", type=read_library, metavar="LIBRARY", help="its id, which its devices show")
    remove.add_argument("--yes", action="store_true", required=True, help="it cannot be undone")
    backup.add_argument("folder", type=Path, metavar="TO", help="a folder that is new or empty")
    restore.add_argument("folder", type=Path, metavar="FROM", help="the folder that `backup` made")
    doctor.add_argument("--deep", action="store_true", help="read every blob and compare its hash")
    doctor.add_argument(
        "--forget-lost", action="store_true", help="say so of lost blobs, so that devices upload them again"
    )
    doctor.add_argument(
        "--restored", action="store_true", help="the database is of a backup: let clients know; forgets what is lost"
    )
    doctor.add_argument(
        "--delete-strays", action="store_true", help="delete stored objects that the database does not know"
    )
    for command in (serve, invite, stats, quota, remove, backup, restore, doctor):
        command.add_argument("--data", type=Path, required=True, metavar="DIR", help="where this relay keeps things")
        command.add_argument(
            "--database-url", default=None, metavar="URL", help="postgresql://… instead of SQLite in DIR"
        )
    for command in (serve, remove, backup, restore, doctor):
        command.add_argument(
            "--blobs", default=None, metavar="URL", help="s3://BUCKET/PREFIX or a folder, instead of DIR/blobs"
        )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 takes a free one")
    serve.add_argument(
        "--origin",
        type=read_origin,
        action="append",
        default=[],
        metavar="URL",
        help="address that clients use, such as https://relay.example: sign-ins for any other are refused",
    )
    serve.add_argument(
        "--trust-proxy",
        type=read_proxy,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="address or network of a proxy on another machine, whose X-Forwarded-For is to be believed",
    )
    serve.add_argument("--tls-cert", type=Path, default=None, metavar="FILE", help="certificate chain, PEM")
    serve.add_argument("--tls-key", type=Path, default=None, metavar="FILE", help="its private key, PEM")
    serve.add_argument(
        "--metrics-port", type=int, default=None, metavar="PORT", help="answer /metrics there, to this machine only"
    )
    invite.add_argument("--quota", type=read_size, default="50GB", help="what the library may take (default 50GB)")
    invite.add_argument("--objects", type=int, default=None, help="how many envelopes and files it may have")
    for command in (invite, stats, quota, remove, backup, restore, doctor):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    database_url, blobs_url, named, proxies = from_environment()
    try:
        origins = tuple(read_origin(origin) for origin in named)
        proxies = tuple(read_proxy(proxy) for proxy in proxies)
    except argparse.ArgumentTypeError as error:
        raise _Misused(f"in the environment: {error}") from None
    if options.command != "serve":
        # The others touch no blobs; opening a store somewhere else would be a side effect.
        touches_blobs = options.command in {"remove", "backup", "restore", "doctor"}
        return Settings(
            data=options.data,
            database_url=options.database_url or database_url,
            blobs_url=(options.blobs or blobs_url) if touches_blobs else "",
        )
    if (options.tls_cert is None) != (options.tls_key is None):
        raise _Misused("--tls-cert and --tls-key go together")
    return Settings(
        data=options.data,
        host=options.host,
        port=options.port,
        database_url=options.database_url or database_url,
        blobs_url=options.blobs or blobs_url,
        origins=(*options.origin, *origins),
        proxies=(*THIS_MACHINE, *options.trust_proxy, *proxies),
        tls_certificate=options.tls_cert,
        tls_key=options.tls_key,
        metrics_port=options.metrics_port,
    )


def _serve(settings: Settings) -> int:
    from sync_relay.server.running import bind, serve

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in (settings.tls_certificate, settings.tls_key):
        if file is not None and not file.is_file():
            return _fail(f"there is no file {file}", None)
    try:
        listening = bind(settings.host, settings.port)
    except OSError as error:
        return _fail(f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}", None)
    if settings.host not in _PLAIN_HOSTS and not settings.origins:
        sys.stderr.write(
            "safelight-relay: without --origin, sign-ins are accepted for this machine's own addresses only. "
            "Name the address that clients use, for example --origin https://relay.example\n"
        )
    try:
        asyncio.run(serve(settings, listening=listening))
    except SystemExit:
        return _FAILED  # uvicorn's way of saying that the application did not start; the log says why
    return 0


async def _invite(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import libraries

    parts = await _open(settings)
    try:
        objects = options.objects or libraries.DEFAULT_QUOTA_OBJECTS
        invite = await libraries.make_invite(parts, quota_bytes=options.quota, quota_objects=objects)
    finally:
        await parts.database.close()
    sys.stdout.write((json.dumps({"invite": invite}) if options.json else invite) + "\n")
    return 0


async def _stats(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import libraries

    parts = await _open(settings)
    try:
        figures = await libraries.statistics(parts)
    finally:
        await parts.database.close()
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        sys.stdout.writelines(f"{name.replace('_', ' '):14} {figure}\n" for name, figure in figures.items())
    return 0


async def _backup(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import maintenance

    return _examined(await maintenance.back_up(settings, options.folder), options, "copied")


async def _restore(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import maintenance

    return _examined(await maintenance.restore(settings, options.folder), options, "restored")


async def _doctor(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import maintenance
    from sync_relay.server.condition import condition

    parts = await _open(settings)
    try:
        if options.restored:
            await maintenance.begin_generation(parts)
        findings = await condition(parts, settings)
        examined = await maintenance.examine(parts, deep=options.deep)
        if options.forget_lost or options.restored:
            await maintenance.forget_lost(parts, examined)
        if options.delete_strays:
            strays = await maintenance.delete_strays(parts)
            if not options.json:
                sys.stdout.write(f"{strays} objects deleted that the database does not know\n")
    finally:
        await parts.database.close()
    if not options.json:
        for finding in findings:
            sys.stdout.write(f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.check}: {finding.detail}\n")
            if not finding.ok and finding.hint:
                sys.stdout.write(f"         hint: {finding.hint}\n")
    code = _examined(examined, options, "examined", findings=[finding._asdict() for finding in findings])
    return code if all(finding.ok for finding in findings) else _FAILED


async def _quota(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import libraries

    parts = await _open(settings)
    try:
        usage = await libraries.set_quota(
            parts, options.library, quota_bytes=options.quota, quota_objects=options.objects
        )
    finally:
        await parts.database.close()
    figures = {name: getattr(usage, name) for name in ("bytes", "quota_bytes", "objects", "quota_objects")}
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        sys.stdout.writelines(f"{name.replace('_', ' '):14} {figure}\n" for name, figure in figures.items())
    return 0


async def _remove(settings: Settings, options: argparse.Namespace) -> int:
    from sync_relay.server import libraries

    parts = await _open(settings)
    try:
        await libraries.remove(parts, options.library)
    finally:
        await parts.database.close()
    sys.stdout.write((json.dumps({"removed": True}) if options.json else "removed") + "\n")
    return 0


def _examined(examined: Examined, options: argparse.Namespace, done: str, **more: object) -> int:
    lost = [blob_id.hex() for _, blob_id in examined.lost]
    if options.json:
        sys.stdout.write(json.dumps({"blobs": examined.blobs, "lost": lost, **more}) + "\n")
    else:
        sys.stdout.write(f"{examined.blobs} blobs {done}, {len(lost)} of them missing or damaged\n")
        sys.stdout.writelines(f"  {name}\n" for name in lost)
    return _FAILED if lost else 0


async def _open(settings: Settings) -> Parts:
    from sync_relay.server.database import Database
    from sync_relay.server.objects import Objects
    from sync_relay.server.parts import Parts

    database = Database(settings.database)
    await database.migrate()
    return Parts(database, Objects(settings.blobs), settings.limits)


def _fail(message: str, hint: str | None) -> int:
    sys.stderr.write(f"safelight-relay: {message}\n" + (f"{hint}\n" if hint else ""))
    return _FAILED


_COMMANDS: Final = {
    "invite": _invite,
    "stats": _stats,
    "quota": _quota,
    "remove": _remove,
    "backup": _backup,
    "restore": _restore,
    "doctor": _doctor,
}


if __name__ == "__main__":
    main()
