"""Pixels of every kind brought to eight-bit RGB: depths, palettes, transparency, print colours, ICC profiles."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

_MAX_PROFILE_BYTES = 16 << 10
"""Profiles up to this size (all of cameras and screens) stay with a preview; larger ones are for printing presses."""

_GROUND = "white"


def to_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """Return the picture in RGB, and the profile its pixels still need; transparency is laid on white."""
    if image.mode == "RGB":
        return _keep_or_apply(image, profile)
    if image.mode in {"CMYK", "LAB"}:
        converted = _converted(image, profile)
        return (converted if converted is not None else _plain(image)), None
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, _GROUND)
        return _keep_or_apply(Image.alpha_composite(ground, layer).convert("RGB"), profile)
    # A grey profile does not fit the RGB picture that the grey becomes.
    grey = image.mode in {"1", "L", "LA", "I", "F"} or image.mode.startswith("I;16")
    return to_eight_bits(image).convert("RGB"), None if grey else _small(profile)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an RGB picture's colours as sRGB; unchanged when the profile is missing, sRGB itself, or no profile."""
    if profile is None:
        return image
    converted = _converted(image, profile)
    return image if converted is None else converted


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return the picture with eight bits a channel, its full range kept (Pillow itself cuts off what is over 255)."""
    mode = image.mode
    if mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode in {"I", "F"}:
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        top = float(values.max(initial=0.0))
        # Floats mostly run to 1, integers to what 8 or 16 bits hold; others are scaled by their brightest pixel.
        usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
        scale = 255.0 / next((full for full in usual if top <= full), max(top, 1.0))
        return Image.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8))
    if mode == "P":
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode in {"1", "PA", "La", "RGBa", "RGBX", "HSV"}:
        return image.convert({"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))
    return image


def _keep_or_apply(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    if profile is None or len(profile) <= _MAX_PROFILE_BYTES:
        return image, _small(profile)
    return to_srgb(image, profile), None


def _small(profile: bytes | None) -> bytes | None:
    """Return the profile when it is worth keeping: small, of RGB, and not sRGB, which everybody assumes."""
    if profile is None or len(profile) > _MAX_PROFILE_BYTES or profile[16:20] != b"RGB ":
        return None
    if b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile:
        return None
    return profile


def _converted(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    try:
        transform = _transform(profile, image.mode)
        return None if transform is None else ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, ValueError, OSError):
        return None


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way from a profile to sRGB. Phones have one profile each, so a folder needs few of them."""
    target = ImageCms.createProfile("sRGB")
    if profile is None:
        if mode != "LAB":
            return None
        return ImageCms.buildTransform(ImageCms.createProfile("LAB"), target, "LAB", "RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL)


def _plain(image: Image.Image) -> Image.Image:
    return image.getchannel(0).convert("RGB") if image.mode == "LAB" else image.convert("RGB")
