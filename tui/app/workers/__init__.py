"""Everything that waits for disk, keys or decoders: in threads and processes of its own, never on the event loop."""
