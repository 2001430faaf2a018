"""Keys, passphrases, recovery phrases, membership, pairing, envelopes and encrypted blobs.

What this package promises:

- Everything it seals can be read only with the key it was sealed for, and any change to any byte of it is a named
  error.
- Everything it signs is signed for one purpose and one library; a signature made for one purpose never holds for
  another.
- Lengths that leave a device are padded; true lengths are inside the encryption.
- It writes no files and opens no sockets, and it knows nothing of photos, Automerge, or the layout of a library folder.

It does not protect secrets from somebody who can read this process's memory: Python cannot wipe its `bytes` objects.

Every format is described byte by byte in docs/formats.md, with vectors in tests/vectors/.
"""
