"""One module per command; `tui.cli.command_table` says which. Heavy libraries are imported inside the commands."""
