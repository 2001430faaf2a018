"""Ed25519's curve (RFC 8032, section 5.1): the strictness about points that `cryptography` leaves to its caller."""

from __future__ import annotations

from functools import lru_cache

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
_NEUTRAL = (0, 1)

Point = tuple[int, int]


@lru_cache
def has_small_order(encoded: bytes) -> bool:
    """Tell whether 32 bytes are no point, or one of order 8 or less, in whichever spelling."""
    found = _point(encoded)
    return found is None or _times(8, found) == _NEUTRAL


@lru_cache
def is_public_key(encoded: bytes) -> bool:
    """Tell whether 32 bytes are a point of the prime-order group, but not the neutral one, in its one spelling."""
    found = _point(encoded)
    canonical = int.from_bytes(encoded, "little") % 2**255 < P
    return canonical and found is not None and found != _NEUTRAL and _times(ORDER, found) == _NEUTRAL


def _point(encoded: bytes) -> Point | None:
    y = int.from_bytes(encoded, "little") % 2**255 % P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _ROOT_OF_MINUS_1 % P
    if x * x % P != square:
        return None
    return (x if x & 1 == encoded[31] >> 7 else -x % P), y


def _plus(a: Point, b: Point) -> Point:
    product = _D * a[0] * b[0] * a[1] * b[1] % P
    x, y = a[0] * b[1] + a[1] * b[0], a[1] * b[1] + a[0] * b[0]
    return x * pow(1 + product, -1, P) % P, y * pow(1 - product, -1, P) % P


def _times(factor: int, point: Point) -> Point:
    result = _NEUTRAL
    for bit in f"{factor:b}":
        result = _plus(result, result)
        if bit == "1":
            result = _plus(result, point)
    return result
