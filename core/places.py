"""The places where a library's photos were taken: circles around where there are most, the largest first.

Found from the positions in the photos alone: no map is asked, so nobody learns where they were taken. A place has the
name that the user gave it, and its coordinates otherwise. Names are settings of the library: all its devices have them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from core.catalog.tables import DEGREE_UNIT
from core.errors import InvalidEdit
from core.query.fields import EARTH_KM
from core.query.nodes import Near

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from core.library import Library

RADIUS_KM: Final = 10.0
"""A town and what lies around it."""
MOST: Final = 20
_PREFIX: Final = "place/"
"""Of the settings that name places: the value is `latitude,longitude` in degrees."""
_MAX_NAME_BYTES: Final = 100
_DECIMALS: Final = 2
"""Of the degrees of a place that has no name: about a kilometre."""
_CELL_DEGREES: Final = 0.05
_SETTLED: Final = 3
"""How often a circle moves to the middle of what it holds."""


@dataclass(frozen=True)
class Place:
    """A circle, in degrees (WGS 84) and kilometres, with the number of photos in it. `name`: the user's, if any."""

    latitude: float
    longitude: float
    radius_km: float
    photos: int
    name: str | None = None

    @property
    def title(self) -> str:
        """What to call it."""
        return self.name or f"{self.latitude:.{_DECIMALS}f}, {self.longitude:.{_DECIMALS}f}"

    @property
    def query(self) -> str:
        """What finds its photos."""
        return str(Near(self.latitude, self.longitude, self.radius_km))


def places(library: Library, *, most: int = MOST) -> list[Place]:
    """Return the places that have names, and others until there are `most`; those with most photos first.

    Every photo outside the trash that has a position counts for the first place that it lies in; `photos` is how many
    the place's query finds, so circles that touch may count one twice.
    """
    latitudes, longitudes = (np.asarray(column, np.float64) / DEGREE_UNIT for column in library.catalog.positions())
    found = []
    left = np.ones(len(latitudes), dtype=bool)
    for name, latitude, longitude in _named(library):
        inside = _within(latitudes, longitudes, latitude, longitude)
        left &= ~inside
        found.append(Place(latitude, longitude, RADIUS_KM, int(inside.sum()), name))
    while left.any() and len(found) < most:
        latitude, longitude = _densest(latitudes[left], longitudes[left])
        inside = _within(latitudes, longitudes, latitude, longitude)
        if not (inside & left).any():  # rounding moved the circle off a lone photo: no further progress
            break
        left &= ~inside
        found.append(Place(latitude, longitude, RADIUS_KM, int(inside.sum())))
    return sorted(found, key=lambda place: (-place.photos, place.title))


def name_place(library: Library, latitude: float, longitude: float, name: str) -> str:
    """Give the place at these degrees a name, on all devices, in place of one it had; an empty name takes that away.

    Returns the name as it is kept. Raises `InvalidEdit` for one that is too long, and what `Library.commit` raises.
    """
    kept = name.strip()
    if len(kept.encode()) > _MAX_NAME_BYTES:
        raise InvalidEdit(f"a place's name has at most {_MAX_NAME_BYTES} bytes")
    here = np.asarray([latitude]), np.asarray([longitude])
    for old, old_latitude, old_longitude in list(_named(library)):
        if old != kept and _within(*here, old_latitude, old_longitude)[0]:
            library.set_setting(_PREFIX + old, None)
    if kept:
        library.set_setting(_PREFIX + kept, f"{latitude:.4f},{longitude:.4f}")
    return kept


def _named(library: Library) -> Iterator[tuple[str, float, float]]:
    for key, value in library.catalog.library_values("setting").items():
        if key.startswith(_PREFIX):
            first, _, second = value.partition(",")
            try:
                latitude, longitude = float(first), float(second)
            except ValueError:
                continue  # of a later version, or of a device that errs
            if abs(latitude) <= 90 and abs(longitude) <= 180:  # noqa: PLR2004 - degrees
                yield key.removeprefix(_PREFIX), latitude, longitude


def _densest(latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]) -> tuple[float, float]:
    """Return the middle of the photos around the fullest cell of a grid of degrees, rounded as it is shown."""
    cells = np.floor(latitudes / _CELL_DEGREES) * 10_000 + np.floor(longitudes / _CELL_DEGREES)
    names, counts = np.unique(cells, return_counts=True)
    inside = cells == names[counts.argmax()]
    latitude, longitude = float(latitudes[inside].mean()), float(longitudes[inside].mean())
    for _ in range(_SETTLED):
        inside = _within(latitudes, longitudes, latitude, longitude)
        east = (longitudes[inside] - longitude + 180) % 360 - 180  # across the date line, too
        latitude = float(latitudes[inside].mean())
        longitude = (longitude + float(east.mean()) + 180) % 360 - 180
    return round(latitude, _DECIMALS), round(longitude, _DECIMALS)


def _within(
    latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], latitude: float, longitude: float
) -> NDArray[np.bool_]:
    """Tell of each position whether it lies in the circle: by the haversine of the angle, on a sphere as `near:`."""
    reach = math.degrees(RADIUS_KM / EARTH_KM)
    near = np.abs(latitudes - latitude) <= reach
    found = np.zeros(len(latitudes), dtype=bool)
    north, east = np.radians(latitudes[near]), np.radians(longitudes[near] - longitude)
    here = math.radians(latitude)
    half = np.sin((north - here) / 2) ** 2 + math.cos(here) * np.cos(north) * np.sin(east / 2) ** 2
    found[near] = 2 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0))) <= RADIUS_KM
    return found
