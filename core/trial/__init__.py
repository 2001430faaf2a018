"""Where a snapshot from elsewhere is applied first: in a process of its own, with limits on memory and time."""
