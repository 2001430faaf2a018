"""How Safelight is shown: the commands (`tui.cli`), and later the terminal app."""
