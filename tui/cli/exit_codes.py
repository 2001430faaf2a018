"""What the exit codes mean, and which error ends in which: the one place that decides it.

====  ===========================================================================
0     done (also: a search that finds nothing)
1     failed
2     usage: an unknown option, a query that cannot be understood, an impossible value
3     locked, or wrong passphrase or recovery phrase
4     integrity alarm: something stored, or given out by a relay, is not what was written
5     relay out of reach
6     refused by the relay (quota, membership)
7     partly done: some files failed, the others are done
130   stopped by ^C
====  ===========================================================================
"""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
LOCKED = 3
INTEGRITY_ALARM = 4
RELAY_OUT_OF_REACH = 5
REFUSED_BY_RELAY = 6
PARTLY_DONE = 7
INTERRUPTED = 130


def exit_code(error: BaseException) -> int:
    """The exit code for `error`; every error not named here is a failure."""
    from core import errors

    if isinstance(error, errors.Locked):
        return LOCKED
    if isinstance(error, errors.IntegrityAlarm):
        return INTEGRITY_ALARM
    if isinstance(error, (errors.QueryError, errors.InvalidEdit)):
        return USAGE
    if isinstance(error, errors.RelayUnreachable):
        return RELAY_OUT_OF_REACH
    if isinstance(error, errors.RelayRefused):
        return REFUSED_BY_RELAY
    return FAILED
