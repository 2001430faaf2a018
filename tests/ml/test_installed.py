"""Packs are installed whole or not at all, and fetched only as pinned."""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import http.server
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml import builtin, installed
from ml.download import check_url, fetch
from ml.errors import DownloadFailed, ModelMismatch, NotOnnx, PackError, PackExists, PackFileChanged, PackNotFound
from ml.installed import add_pack, find_pack, installed_packs, packs_folder, remove_pack
from ml.pack import Pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ml.colour_packs import MakePack


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; ``/cut/…`` breaks off half way, ``/to/URL`` redirects, ``/endless`` never ends."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path.startswith("/cut/"):
            data = (Path(self.directory) / self.path.removeprefix("/cut/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Yield a folder and the address at which a web server shows it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def added() -> list[str]:
    return [pack.model for pack in installed_packs() if not pack.builtin]


def leftovers() -> list[str]:
    return [entry.name for entry in packs_folder().iterdir() if entry.name.startswith(".")]


def test_an_added_pack_is_a_copy_that_can_be_found_and_removed(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    pack = add_pack(folder)
    assert pack.folder == packs_folder() / "colours@1.0.0"
    (folder / "model.onnx").unlink()
    assert find_pack("colours").sha256 == find_pack("colours@1.0.0").sha256 == pack.sha256
    assert added() == ["colours@1.0.0"]
    assert remove_pack("colours") == "colours@1.0.0"
    assert added() == []
    assert leftovers() == []


def test_the_same_pack_twice_is_no_error_and_another_of_its_name_is(colour_pack: MakePack) -> None:
    maker = colour_pack()
    first = add_pack(maker.write())
    assert add_pack(maker.write()).folder == first.folder
    with pytest.raises(PackExists) as caught:
        add_pack(colour_pack(dtype="uint8").write())
    assert "version of its own" in str(caught.value.hint)
    assert find_pack("colours").sha256 == first.sha256
    assert leftovers() == []


def test_adding_again_repairs_a_damaged_pack(colour_pack: MakePack) -> None:
    maker = colour_pack()
    pack = add_pack(maker.write())
    (pack.folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(PackFileChanged):
        find_pack("colours")
    (listed,) = [entry for entry in installed_packs() if not entry.builtin]
    assert isinstance(listed.problem, PackFileChanged)
    add_pack(maker.write())
    assert find_pack("colours").sha256 == pack.sha256


def test_a_pack_that_does_not_run_is_not_installed(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    text = (folder / "pack.toml").read_text()
    (folder / "pack.toml").write_text(text.replace('layout = "NCHW"', 'layout = "NHWC"'))
    with pytest.raises(ModelMismatch):
        add_pack(folder)
    assert added() == []
    assert leftovers() == []


def test_what_is_wrong_with_a_pack_is_said_of_the_user_s_own_file(
    colour_pack: MakePack, served: tuple[Path, str]
) -> None:
    web, address = served
    maker = colour_pack()
    folder = maker.folder = web / "packs"
    maker.write()
    model = folder / "model.onnx"
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    model.write_bytes(b"no model")
    manifest = folder / "pack.toml"
    manifest.write_text(manifest.read_text().replace(before, hashlib.sha256(b"no model").hexdigest()))
    sources: list[tuple[str | Path, Path | None, str | None, str]] = [
        (folder, None, None, str(model)),
        (f"{address}/packs/model.onnx", manifest, None, f"{address}/packs/model.onnx"),
        (f"{address}/packs/pack.toml", None, Pack.open(folder).sha256, f"{address}/packs/model.onnx"),
    ]
    for source, described, sha256, named in sources:
        with pytest.raises(NotOnnx) as caught:
            add_pack(source, manifest=described, sha256=sha256)
        assert str(caught.value).startswith(f"{named}: not an ONNX model")
    assert leftovers() == []


def test_the_newest_version_is_meant_unless_one_is_named(colour_pack: MakePack) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0rc1", "0.1"):
        add_pack(colour_pack(version=version).write())
    assert find_pack("colours").version == "1.10.0"
    assert find_pack("colours@1.9.0").version == "1.9.0"
    with pytest.raises(PackError, match="4 versions"):
        remove_pack("colours")


@pytest.mark.parametrize("name", ["", "nothing", "colours@9", "../colours", "..", "/etc", "colours@../../x", ".", "@"])
def test_names_of_no_pack_are_refused_and_never_become_paths(colour_pack: MakePack, name: str) -> None:
    add_pack(colour_pack().write())
    outside = packs_folder().parent / "colours"
    outside.mkdir()
    with pytest.raises(PackNotFound):
        find_pack(name)
    with pytest.raises(PackNotFound):
        remove_pack(name)
    assert outside.is_dir()


def test_a_misspelt_name_gets_a_suggestion(colour_pack: MakePack) -> None:
    add_pack(colour_pack().write())
    with pytest.raises(PackNotFound) as caught:
        find_pack("colors")
    assert caught.value.hint == 'Did you mean "colours"?'


def test_what_a_killed_add_left_is_swept_up_later(colour_pack: MakePack) -> None:
    packs = packs_folder()
    old, new = packs / ".incoming-0123", packs / ".incoming-4567"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"half")
    os.utime(old, (1, 1))
    assert added() == []
    add_pack(colour_pack().write())
    assert not old.exists()
    assert new.exists()


def test_a_pack_is_fetched_from_the_address_of_its_manifest(colour_pack: MakePack, served: tuple[Path, str]) -> None:
    folder, address = served
    maker = colour_pack()
    maker.folder = folder / "packs"
    maker.write()
    digest = Pack.open(maker.folder).sha256
    seen: list[int] = []
    pack = add_pack(f"{address}/packs/pack.toml", sha256=digest, progress=lambda had, _total: seen.append(had))
    assert pack.sha256 == digest
    assert seen
    with pytest.raises(DownloadFailed, match="as pinned"):
        add_pack(f"{address}/packs/pack.toml", sha256="0" * 64)
    with pytest.raises(DownloadFailed, match="SHA-256 is needed"):
        add_pack(f"{address}/packs/pack.toml")


def test_a_model_is_fetched_for_a_manifest_at_hand(colour_pack: MakePack, served: tuple[Path, str]) -> None:
    folder, address = served
    maker = colour_pack()
    mine = maker.write()
    (mine / "model.onnx").rename(folder / "weights-v1.bin")
    assert add_pack(f"{address}/weights-v1.bin", manifest=mine / "pack.toml").name == "colours"
    remove_pack("colours")
    with pytest.raises(DownloadFailed, match="pins the model"):
        add_pack(f"{address}/weights-v1.bin", manifest=mine / "pack.toml", sha256="0" * 64)
    (folder / "weights-v1.bin").write_bytes(b"another file")
    with pytest.raises(DownloadFailed, match="as pinned"):
        add_pack(f"{address}/weights-v1.bin", manifest=mine / "pack.toml")
    assert added() == []
    assert leftovers() == []


def test_a_transfer_that_breaks_off_or_fails_leaves_nothing(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    data = os.urandom(3 << 20)
    (folder / "big").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    target = tmp_path / "target"
    for url, message in (
        (f"{address}/cut/big", "cut off|IncompleteRead"),
        (f"{address}/absent", "404"),
        ("http://127.0.0.1:9/x", "refused"),
        (f"{address}/to/http://example.org/x", "https only"),
        (f"{address}/to/file:///etc/passwd", "not allowed|https only"),
    ):
        with pytest.raises(DownloadFailed, match=message):
            fetch(url, target, digest)
        assert not target.exists()
    with pytest.raises(DownloadFailed, match="larger than 1,048,576"):
        fetch(f"{address}/big", target, digest, limit=1 << 20)
    fetch(f"{address}/to/{address}/big", target, digest)
    assert target.read_bytes() == data


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/pack.toml",
        "http://127.0.0.1.example.org/",
        "http://localhost@example.org/",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "https://",
        "https://example.org/a b",
        "https://exa\nmple.org/",
        "http://[::1/",
        "https://example.org:port/",
    ],
)
def test_addresses_that_are_not_https_are_refused(url: str) -> None:
    with pytest.raises(DownloadFailed):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.org/x", "http://127.0.0.1:80/", "http://[::1]:8080/x", "http://localhost/"]
)
def test_https_and_this_machine_are_accepted(url: str) -> None:
    check_url(url)


def test_a_folder_renamed_by_hand_is_not_taken_for_another_pack(colour_pack: MakePack) -> None:
    pack = add_pack(colour_pack().write())
    pack.folder.rename(packs_folder() / "flowers@1.0.0")
    with pytest.raises(PackError, match="holds the pack colours"):
        find_pack("flowers")


def test_a_damaged_built_in_pack_is_listed_with_its_problem(
    colour_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = colour_pack(name="shipped").write()
    monkeypatch.setattr(builtin, "BUILTIN_FOLDER", shipped)
    assert [(entry.model, entry.builtin, entry.problem) for entry in installed_packs()] == [
        ("shipped@1.0.0", True, None)
    ]
    assert find_pack("shipped").builtin
    with pytest.raises(PackError, match="stays"):
        remove_pack("shipped")
    with pytest.raises(PackExists):
        add_pack(colour_pack(name="shipped", dtype="uint8").write())
    (shipped / "model.onnx").write_bytes(b"damaged")
    (listed,) = installed_packs()
    assert isinstance(listed.problem, PackFileChanged)
    (shipped / "pack.toml").write_text("name =")
    assert installed_packs() == []


def test_a_manifest_that_is_not_there_is_named(served: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(PackNotFound, match=r"absent\.toml"):
        add_pack(f"{served[1]}/model.onnx", manifest=tmp_path / "absent.toml")
    with pytest.raises(PackNotFound, match="not a folder"):
        add_pack(tmp_path / "nowhere")


def test_the_packs_folder_is_the_platforms_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAFELIGHT_DATA_DIR", str(tmp_path / "data"))
    assert packs_folder() == tmp_path / "data" / "packs"
    monkeypatch.delenv("SAFELIGHT_DATA_DIR")
    assert packs_folder().parts[-2:] == ("safelight", "packs")
    assert installed.packs_folder().is_absolute()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_cannot_be_written_is_a_named_error(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    packs_folder().mkdir(parents=True)
    packs_folder().chmod(0o500)
    with pytest.raises(PackError, match="cannot be written"):
        add_pack(folder)


def test_a_file_in_place_of_the_packs_folder_is_a_named_error(colour_pack: MakePack) -> None:
    packs_folder().parent.mkdir(parents=True)
    packs_folder().write_text("in the way")
    with pytest.raises(PackError, match="cannot be written"):
        add_pack(colour_pack().write())


def test_what_another_process_finishes_with_while_it_is_looked_at_is_no_error(
    colour_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = colour_pack().write()
    add_pack(folder)
    fleeting = packs_folder() / ".incoming-0123456789abcdef"
    fleeting.mkdir()
    listed = Path.iterdir

    def and_gone(self: Path) -> Iterator[Path]:
        entries = list(listed(self))
        if fleeting in entries:
            fleeting.rmdir()
        return iter(entries)

    monkeypatch.setattr(Path, "iterdir", and_gone)
    assert add_pack(folder).model == "colours@1.0.0"


def test_several_processes_may_add_the_same_pack_at_once(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        added_packs = list(pool.map(lambda _: add_pack(folder).sha256, range(8)))
    assert len(set(added_packs)) == 1
    assert added() == ["colours@1.0.0"]
    assert leftovers() == []
