"""Taking photos in: walking folders, decoding in worker processes, storing, naming.

`pipeline` is the way in. What a photo is decided by (`sniff`, `exif`, `dates`, `facts`, `decode`) runs in worker
processes that hold no key; this package's own module is empty so that such a process loads nothing else.
"""
