"""Recipe of the built-in pack ``safelight-mini``: data, network, training and export.

Nothing here is imported by the program; it needs the ``train`` extra (see docs/training.md).
"""
