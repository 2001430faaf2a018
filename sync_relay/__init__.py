"""What devices and a relay say to each other, and the relay.

`wire` and `statements` are shared by both ends; `server` is the relay. A relay stores bytes it cannot read: nothing in
this package holds a key that opens anything, and of `crypto` it uses signatures, hashes and clear headers only.
"""
