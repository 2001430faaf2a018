"""The page that a person sees who opens the relay's address: what it keeps, and what it cannot see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sync_relay.server.settings import Settings

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A Safelight relay</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
</style>
<h1>A Safelight relay</h1>
<p>This server passes encrypted photo libraries between their owners' devices. It is running.</p>
<h2>What it stores</h2>
<ul>
<li>for each library, the public keys of its devices, and who added or revoked which;</li>
<li>encrypted changes: which device made them, when they arrived, their padded size;</li>
<li>encrypted files: their padded size, and the hash of their encrypted bytes;</li>
<li>how much each library takes, and until when a deleted file is kept ({days} days).</li>
</ul>
<h2>What it cannot see</h2>
<p>Photos, thumbnails, file names, dates, places, people, labels, captions, albums, searches, passphrases and recovery
phrases. The keys never leave the devices. It cannot add, change, reorder or remove anything without a device
noticing.</p>
<h2>What it can know all the same</h2>
<p>When, how often and from which network addresses devices talk to it (its log has no addresses), how much they
store, and which encrypted files they send, fetch and delete together. Padded sizes may give away a set of files that
somebody knows already.</p>
<p>For programs: <a href="/openapi.json">the interface</a>.</p>
</html>
"""


def status_html(settings: Settings) -> str:
    """Return the page."""
    return _PAGE.format(days=settings.limits.delete_grace // 86_400)
