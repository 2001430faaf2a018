"""The app's themes: a darkroom with its red light, paper, high contrast, and the terminal's own 16 colours."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="safelight",
    primary="#e0705a",
    secondary="#b0584a",
    accent="#ff9d76",
    warning="#e8b04b",
    error="#f0506e",
    success="#7fb685",
    foreground="#e4dfdc",
    background="#141212",
    surface="#1c1919",
    panel="#262121",
    boost="#302929",
    dark=True,
    variables={
        "text-muted": "#948a86",
        "border": "#4a3f3c",
        "border-blurred": "#332c2b",
        "footer-key-foreground": "#ff9d76",
        "input-selection-background": "#e0705a 35%",
        "scrollbar": "#4a3f3c",
        "scrollbar-hover": "#6b5a55",
        "scrollbar-active": "#e0705a",
        "scrollbar-background": "#1a1717",
    },
)

LIGHT = Theme(
    name="safelight-light",
    primary="#a83a22",
    secondary="#7c4a3c",
    accent="#c2410c",
    warning="#9a6700",
    error="#b4123a",
    success="#2f6f3a",
    foreground="#2b2523",
    background="#faf7f4",
    surface="#f1ece7",
    panel="#e7dfd8",
    boost="#ddd3ca",
    dark=False,
    variables={
        "text-muted": "#6d625c",
        "border": "#b9aca3",
        "border-blurred": "#d3c8bf",
        "footer-key-foreground": "#a83a22",
        "scrollbar": "#c9bdb3",
        "scrollbar-hover": "#b1a297",
        "scrollbar-active": "#a83a22",
        "scrollbar-background": "#f1ece7",
    },
)

HIGH_CONTRAST = Theme(
    name="safelight-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    accent="#ffff00",
    warning="#ffaa00",
    error="#ff6060",
    success="#00ff66",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    boost="#333333",
    dark=True,
    text_alpha=1.0,
    variables={
        "text-muted": "#ffffff",
        "border": "#ffffff",
        "border-blurred": "#bbbbbb",
        "footer-key-foreground": "#ffff00",
        "scrollbar": "#ffffff",
        "scrollbar-background": "#333333",
    },
)

SIXTEEN = Theme(
    name="safelight-16",
    ansi=True,
    primary="ansi_red",
    secondary="ansi_magenta",
    accent="ansi_yellow",
    warning="ansi_yellow",
    error="ansi_bright_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "text-muted": "ansi_white",
        "border": "ansi_white",
        "border-blurred": "ansi_bright_black",
        "footer-key-foreground": "ansi_yellow",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_black",
        "input-cursor-foreground": "ansi_bright_white",
        "input-cursor-text-style": "none",
        "input-selection-background": "ansi_bright_blue",
        "input-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_bright_blue",
        "screen-selection-foreground": "ansi_black",
    },
)

THEMES = (DARK, LIGHT, HIGH_CONTRAST, SIXTEEN)


def theme_for(colour_system: str | None, named: str | None) -> str:
    """Return the theme to start with: the one that is `named`, else one that the terminal has the colours for."""
    if named in {theme.name for theme in THEMES}:
        return str(named)
    return SIXTEEN.name if colour_system in {None, "standard", "windows"} else DARK.name
