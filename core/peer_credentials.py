"""Who is at the other end of a Unix socket, as the kernel says: the one answer that a peer cannot make up."""

from __future__ import annotations

import socket
import struct
import sys

_SO_PEERCRED_LINUX = struct.Struct("3i")
"""struct ucred of Linux: pid, uid, gid."""


def peer_user_id(peer: socket.socket) -> int:
    """The user id of the process at the other end of the connected Unix socket `peer`.

    Linux: SO_PEERCRED (unix(7)). macOS and the BSDs: getpeereid(3), which wraps LOCAL_PEERCRED or its like.

    Raises:
        OSError: the system does not say; the caller must then treat the peer as a stranger.
    """
    if sys.platform == "linux":
        packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _SO_PEERCRED_LINUX.size)
        _, user, _ = _SO_PEERCRED_LINUX.unpack(packed)
        return int(user)
    import ctypes  # type: ignore[unreachable,unused-ignore]

    library = ctypes.CDLL(None, use_errno=True)
    user_id = ctypes.c_uint32()
    group_id = ctypes.c_uint32()
    try:
        status = library.getpeereid(peer.fileno(), ctypes.byref(user_id), ctypes.byref(group_id))
    except AttributeError as error:
        raise OSError("this system has no getpeereid, so the peer of a socket cannot be told") from error
    if status != 0:
        raise OSError(ctypes.get_errno(), "getpeereid failed")
    return int(user_id.value)
