"""Text that strangers wrote cannot drive the terminal, and fits where it is put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.cli import output
from tui.cli.cells import fitted, width


@given(st.text())
def test_plain_text_is_one_line_without_controls(text: str) -> None:
    shown = output.plain(text)
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    shown.encode()


def test_what_drives_terminals_is_shown_as_escapes() -> None:
    assert output.plain("\x1b]0;title\x07.jpg") == "\\x1b]0;title\\x07.jpg"
    assert output.plain("photo\u202egpj.exe") == "photo\\u202egpj.exe"
    assert output.plain("a\nb") == "a\\nb"
    assert output.plain("\udcff") == "\\udcff"


def test_ordinary_text_is_left_alone() -> None:
    for text in ("IMG_1.jpg", "Größe", "写真 🐕", "e\u0301"):
        assert output.plain(text) == text


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])), st.integers(0, 40))
def test_fitted_text_has_exactly_the_width(text: str, cells: int) -> None:
    assert width(fitted(text, cells)) == cells


def test_wide_characters_take_two_columns() -> None:
    assert fitted("写真写真", 5) == "写真…"
    assert fitted("写真写真", 6) == "写真… "
    assert fitted("ab", 4) == "ab  "


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (10**13, "10,000.0 GB")],
)
def test_sizes(size: int, shown: str) -> None:
    assert output.file_size(size) == shown
