"""The app: what `safelight` without a command opens. docs/keys.md lists its keys."""
