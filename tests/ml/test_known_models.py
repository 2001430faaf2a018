"""Models added by name: pinned, resumed where a transfer broke off, and never another file than the pinned one."""

from __future__ import annotations

import hashlib
import http.server
import re
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from core import packs
from core.errors import PackRefused
from ml import known_models as catalogue
from ml.download import check_url, fetch
from ml.errors import DownloadFailed, ManifestInvalid
from ml.installed import find_pack, packs_folder
from ml.known_models import known_models
from ml.pack import Pack
from ml.taxonomy import BUILTIN, Taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ml.colour_packs import MakePack


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, with the faults that a test asks for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = data
        self.cuts: list[int] = []
        """Bytes after which the coming answers break off."""
        self.ranges = True
        self.length: int | None = None
        """What Content-Length claims, instead of the truth."""
        self.offset = 0
        """By which a partial answer begins too late."""
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.onnx"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        found = re.fullmatch(r"bytes=(\d+)-", asked or "") if server.ranges else None
        start = int(found[1]) + server.offset if found else 0
        if found and start >= len(server.data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.data[start:]
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        self.send_header("Content-Length", str(len(body) if server.length is None else server.length))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(bytes(range(256)) * 4096) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def digest(server: Server) -> str:
    return hashlib.sha256(server.data).hexdigest()


def test_a_transfer_that_is_cut_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 200_000, 1]
    seen: list[tuple[int, int | None]] = []
    fetch(server.url, tmp_path / "got", digest(server), progress=lambda had, total: seen.append((had, total)))
    assert (tmp_path / "got").read_bytes() == server.data
    assert server.asked == [None, "bytes=300000-", "bytes=500000-", "bytes=500001-"]
    assert seen[-1] == (len(server.data), len(server.data))
    assert [had for had, _ in seen] == sorted(had for had, _ in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["got"]


def test_what_came_is_kept_privately_for_the_next_try(server: Server, tmp_path: Path) -> None:
    partial = tmp_path / "part"
    server.cuts = [100_000, 0, 0]
    with pytest.raises(DownloadFailed, match="cut off after 100,000") as caught:
        fetch(server.url, tmp_path / "got", digest(server), partial=partial)
    assert "goes on from there" in str(caught.value.hint)
    assert partial.stat().st_size == 100_000
    assert stat.S_IMODE(partial.stat().st_mode) == 0o600
    server.cuts.clear()
    fetch(server.url, tmp_path / "got", digest(server), partial=partial)
    assert server.asked[-1] == "bytes=100000-"
    assert not partial.exists()


def test_a_server_that_knows_no_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100_000]
    fetch(server.url, tmp_path / "got", digest(server))
    assert (tmp_path / "got").read_bytes() == server.data


@pytest.mark.parametrize("beginning", ["another file's", "all of it", "more than all", "of a part that is not sent"])
def test_an_old_beginning_costs_one_more_transfer_at_most(server: Server, tmp_path: Path, beginning: str) -> None:
    partial = tmp_path / "part"
    old = {"another file's": b"x" * 5000, "all of it": server.data, "more than all": server.data + b"x"}
    partial.write_bytes(old.get(beginning, server.data[:5000]))
    server.offset = 7 if beginning not in old else 0
    fetch(server.url, tmp_path / "got", digest(server), partial=partial)
    assert (tmp_path / "got").read_bytes() == server.data
    assert len(server.asked) == (1 if beginning == "all of it" else 2)


def test_wrong_bytes_and_false_lengths_leave_nothing(server: Server, tmp_path: Path) -> None:
    partial = tmp_path / "part"
    with pytest.raises(DownloadFailed, match="as pinned"):
        fetch(server.url, tmp_path / "got", "0" * 64, partial=partial)
    server.length = 10
    with pytest.raises(DownloadFailed, match="as pinned"):
        fetch(server.url, tmp_path / "got", digest(server), partial=partial)
    server.length = 1 << 50
    with pytest.raises(DownloadFailed, match="larger than"):
        fetch(server.url, tmp_path / "got", digest(server), partial=partial)
    server.length = None
    with pytest.raises(DownloadFailed, match="larger than 9,999"):
        fetch(server.url, tmp_path / "got", digest(server), partial=partial, limit=9_999)
    assert list(tmp_path.iterdir()) == []
    # More is claimed than there is, but what is there is right.
    server.length = len(server.data) + 5
    fetch(server.url, tmp_path / "got", digest(server))
    assert (tmp_path / "got").read_bytes() == server.data


@pytest.fixture
def known(colour_pack: MakePack, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    """Make the catalogue hold one model, colours, which the server serves."""
    pack = Pack.open(colour_pack(embedding=False).write())
    folder = tmp_path / "catalogue"
    folder.mkdir()
    server.data = pack.model_bytes()
    (folder / "colours.toml").write_bytes(pack.manifest_bytes)
    (folder / "labels.txt").write_bytes(pack.read("labels.txt"))
    entry = f'name = "colours"\nurl = "{server.url}"\nbytes = {len(server.data)}\ntop1 = 99.0\n'
    (folder / "catalogue.toml").write_text(f"format = 1\n[[model]]\n{entry}")
    monkeypatch.setattr(catalogue, "CATALOGUE", folder)
    return pack


def test_a_model_is_added_by_its_name(known: Pack, server: Server) -> None:
    (listed,) = packs.available_models()
    assert (listed.name, listed.size, listed.licence) == ("colours", len(server.data), "CC0-1.0")
    assert server.asked == []
    server.cuts = [50, 0]
    with pytest.raises(PackRefused, match="cut off"):
        packs.add_available_model("colours")
    server.cuts.clear()
    packs.add_available_model("colours")
    assert server.asked[-1] == "bytes=50-"
    assert find_pack("colours").sha256 == known.sha256
    assert [entry.name for entry in packs_folder().iterdir()] == ["colours@1.0.0"]


def test_other_bytes_than_the_catalogues_are_not_installed(known: Pack, server: Server) -> None:
    true, server.data = server.data, server.data[::-1]
    with pytest.raises(PackRefused, match="as pinned"):
        packs.add_available_model("colours")
    server.data = true + b"x"
    with pytest.raises(PackRefused, match="larger than"):
        packs.add_available_model("colours")
    assert list(packs_folder().iterdir()) == []
    with pytest.raises(PackRefused, match="no model of the catalogue") as caught:
        packs.available_model("colour")
    assert 'Did you mean "colours"?' in str(caught.value.hint)


def test_the_shipped_catalogue_pins_every_model() -> None:
    models = known_models()
    assert {"mobilenetv2", "squeezenet1.1", "efficientnet-lite4", "resnet50-v1"} <= {model.name for model in models}
    for model in models:
        check_url(model.url)
        assert model.url.startswith("https://")
        assert 1 << 20 < model.size < 200 << 20
        labels = (model.path.parent / model.manifest.output.labels).read_bytes()
        assert hashlib.sha256(labels).hexdigest() == model.manifest.files[model.manifest.output.labels]
        assert labels.decode().splitlines() == list(Taxonomy.load(BUILTIN).class_names.values())
    assert len({model.sha256 for model in models}) == len(models)


def test_a_catalogue_that_misnames_a_model_is_an_error(known: Pack) -> None:
    path = catalogue.CATALOGUE / "catalogue.toml"
    path.write_text(path.read_text().replace('"colours"', '"../colours"'))
    with pytest.raises(ManifestInvalid, match="cannot name"):
        known_models()
