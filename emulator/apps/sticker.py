"""``fal-ai/face-to-sticker``: a white outline and a soft shadow round the subject of a picture."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageOps

from emulator.apps.call import Call

_MASK_SIDE = 256
"""The outline is worked out on a mask of this size: wide maximum filters are slow on large ones."""

_OUTLINE_SIZE = 13
_SHADOW_OPACITY = 0.4


def face_to_sticker(call: Call) -> dict[str, Any]:
    """Sticker from a picture. Input: ``image_url`` and an optional ``prompt`` and ``seed``.

    A picture without transparency becomes one rectangular sticker.
    """
    seed = call.integer("seed", default=call.random.getrandbits(31))
    sticker = make_sticker(call.picture("image_url"))
    backed = Image.new("RGBA", sticker.size, (255, 255, 255, 255))
    backed.alpha_composite(sticker)
    file = call.media.publish(sticker)
    return {
        "images": [file],
        "timings": {},
        "seed": seed,
        "has_nsfw_concepts": [False],
        "sticker_image": call.media.publish(backed),
        "sticker_image_background_removed": file,
    }


def make_sticker(picture: Image.Image) -> Image.Image:
    """The picture, of the same size, with room made for a white outline and a shadow."""
    picture = picture.convert("RGBA")
    margin = max(picture.size) // 10
    subject = ImageOps.expand(picture, margin, (0, 0, 0, 0))
    outline = _outline(subject.getchannel("A"))
    canvas = _shadow(outline, offset=max(1, margin // 8), blur=max(1, margin // 6))
    white = Image.new("RGBA", subject.size, (255, 255, 255, 255))
    white.putalpha(outline)
    canvas.alpha_composite(white)
    canvas.alpha_composite(subject)
    return canvas.resize(picture.size, Image.Resampling.LANCZOS)


def _outline(alpha: Image.Image) -> Image.Image:
    """The alpha mask grown on all sides, with rounded corners and a crisp edge."""
    scale = _MASK_SIDE / max(alpha.size)
    small = alpha.resize((max(1, round(alpha.width * scale)), max(1, round(alpha.height * scale))))
    grown = small.filter(ImageFilter.MaxFilter(_OUTLINE_SIZE)).filter(ImageFilter.GaussianBlur(3))
    large = grown.resize(alpha.size, Image.Resampling.BICUBIC)
    crisp = large.point([min(255, max(0, (value - 112) * 8)) for value in range(256)])
    return ImageChops.lighter(crisp, alpha)


def _shadow(outline: Image.Image, offset: int, blur: int) -> Image.Image:
    moved = Image.new("L", outline.size, 0)
    moved.paste(outline, (offset, offset * 2))
    soft = moved.filter(ImageFilter.GaussianBlur(blur))
    shadow = Image.new("RGBA", outline.size, (0, 0, 0, 255))
    shadow.putalpha(soft.point([round(value * _SHADOW_OPACITY) for value in range(256)]))
    return shadow
