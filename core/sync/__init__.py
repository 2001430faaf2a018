"""Sync: giving each relay what it lacks, and taking from it what this device lacks.

`engine` runs it, `watch` keeps it running; `relays` and `alarms` are what it remembers.
"""
