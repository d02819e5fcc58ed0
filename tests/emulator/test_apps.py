from __future__ import annotations

import base64
import io
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw

from emulator.apps import Call, find_app
from emulator.apps.drawing import draw
from emulator.apps.rembg import remove_background
from emulator.apps.sticker import make_sticker
from emulator.media import Media, MediaError, MediaStore
from emulator.problems import Invalid

BASE = "http://emulator.test"


def make_call(app: str, given: dict[str, Any], *paths: str, media: Media | None = None) -> Call:
    media = media or Media(MediaStore(10_000_000), BASE)
    return Call(app, given, media, Random(1), [tuple(path.split(".")) for path in paths])


def perform(call: Call) -> dict[str, Any]:
    return find_app(call.app)(call)


def disc(size: int = 100) -> Image.Image:
    """A red disc with a background-coloured hole, on a light background."""
    picture = Image.new("RGB", (size, size), (240, 240, 250))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((size * 0.2, size * 0.2, size * 0.8, size * 0.8), fill=(200, 20, 30))
    pen.ellipse((size * 0.45, size * 0.45, size * 0.55, size * 0.55), fill=(240, 240, 250))
    return picture


def data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_the_same_prompt_and_seed_draw_the_same_picture() -> None:
    first, again = draw("a cute puppy", 1, (64, 80)), draw("a cute puppy", 1, (64, 80))
    assert first.tobytes() == again.tobytes()
    assert first.size == (64, 80)
    assert draw("a cute puppy", 2, (64, 80)).tobytes() != first.tobytes()
    assert draw("a cute kitten", 1, (64, 80)).tobytes() != first.tobytes()


def test_fast_sdxl_answers_in_the_shape_of_the_protocol() -> None:
    size = {"width": 64, "height": 72}
    given = {"prompt": "p\ud800", "seed": 2**60, "num_images": 2, "image_size": size}
    output = perform(make_call("fal-ai/fast-sdxl", given))
    urls = [image.pop("url") for image in output["images"]]
    assert len(set(urls)) == 2
    assert all(url.startswith(f"{BASE}/media/") for url in urls)
    assert output == {
        "images": [size | {"content_type": "image/png"}] * 2,
        "timings": {},
        "seed": 2**60,
        "has_nsfw_concepts": [False, False],
        "prompt": "p\ud800",
    }


@pytest.mark.parametrize(
    ("given", "loc", "kind"),
    [
        ({}, ("prompt",), "value_error.missing"),
        ({"prompt": 1}, ("prompt",), "type_error.str"),
        ({"num_images": 9}, ("num_images",), "value_error.number.not_le"),
        ({"num_images": 0}, ("num_images",), "value_error.number.not_ge"),
        ({"num_images": True}, ("num_images",), "type_error.integer"),
        ({"seed": "1"}, ("seed",), "type_error.integer"),
        ({"image_size": "huge"}, ("image_size",), "type_error.enum"),
        ({"image_size": {"width": 64}}, ("image_size", "height"), "type_error.integer"),
        (
            {"image_size": {"width": 10**9, "height": 64}},
            ("image_size", "width"),
            "value_error.number.not_le",
        ),
    ],
)
def test_fast_sdxl_refuses_what_it_cannot_draw(
    given: dict[str, Any], loc: tuple[str, ...], kind: str
) -> None:
    given = given if given == {} else {"prompt": "p"} | given
    with pytest.raises(Invalid) as caught:
        perform(make_call("fal-ai/fast-sdxl", given))
    assert [(p.loc, p.kind) for p in caught.value.problems] == [(loc, kind)]


def test_the_background_becomes_transparent_and_holes_in_the_subject_stay() -> None:
    alpha = remove_background(disc()).getchannel("A")
    assert [alpha.getpixel(point) for point in ((0, 0), (99, 99), (5, 50), (50, 30), (50, 50))] == [
        0,
        0,
        0,
        255,
        255,
    ]


def test_the_background_of_a_drawn_picture_is_found() -> None:
    alpha = remove_background(draw("a cute puppy", 1, (256, 256))).getchannel("A")
    assert alpha.getpixel((0, 0)) == 0
    assert alpha.getpixel((128, 138)) == 255
    share = sum(alpha.histogram()[128:]) / (256 * 256)
    assert 0.1 < share < 0.6


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_tiny_pictures_survive_every_app(size: tuple[int, int]) -> None:
    cut = remove_background(Image.new("RGB", size, (1, 2, 3)))
    assert cut.getchannel("A").getextrema() == (0, 0)
    assert make_sticker(cut).size == size


def test_a_sticker_has_a_white_rim_and_a_shadow_round_the_subject() -> None:
    cut = remove_background(disc(240))
    sticker = make_sticker(cut)
    pixels = sticker.tobytes()
    row = [tuple(pixels[at : at + 4]) for at in range(120 * 240 * 4, 121 * 240 * 4, 4)]
    first_opaque = next(x for x, pixel in enumerate(row) if pixel[3] > 250)
    assert row[first_opaque + 2] == (255, 255, 255, 255)
    assert sticker.getpixel((120, 80)) == (200, 20, 30, 255)
    shadow = [pixel for pixel in row if 0 < pixel[3] < 110 and max(pixel[:3]) < 60]
    assert shadow != []
    assert sticker.getpixel((0, 0)) == (0, 0, 0, 0)


def test_a_picture_goes_from_app_to_app_through_the_media_store() -> None:
    media = Media(MediaStore(10_000_000), BASE)
    cut = perform(
        make_call("fal-ai/imageutils/rembg", {"image_url": data_uri(disc())}, media=media)
    )
    again = media.fetch(cut["image"]["url"])
    assert ImageChops.difference(again, remove_background(disc())).getbbox() is None
    given = {"image_url": cut["image"]["url"], "seed": 4}
    output = perform(make_call("fal-ai/face-to-sticker", given, media=media))
    assert (output["images"][0]["width"], output["seed"]) == (100, 4)
    assert media.fetch(output["images"][0]["url"]).mode == "RGBA"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://fal.media/a.png", f"only data: URIs and files under {BASE}/media/ can be read"),
        ("", f"only data: URIs and files under {BASE}/media/ can be read"),
        (f"{BASE}/media/gone.png", "the file is not, or no longer, in the emulator's media store"),
        ("data:image/png;base64", "the data: URI has no comma"),
        ("data:image/png;base64,@", "the data: URI is not valid base64"),
        (
            "data:image/png;base64,AAAA",
            "the file is not a readable PNG, JPEG, WebP or GIF picture",
        ),
        (
            data_uri(Image.new("1", (2100, 2100))),
            "the picture has more than 4194304 pixels",
        ),
        (
            data_uri(Image.new("1", (15_000, 15_000))),
            "the picture has more than 4194304 pixels",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_an_address_that_gives_no_picture_says_why(url: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason.replace(".", "[.]")):
        Media(MediaStore(10_000_000), BASE).fetch(url)


def test_the_media_store_drops_the_least_recently_used_file() -> None:
    store = MediaStore(limit_bytes=10)
    names = [store.put(content) for content in (b"aaaa", b"bbbb")]
    assert store.get(names[0]) == b"aaaa"
    store.put(b"cccc")
    assert [store.get(name) for name in names] == [b"aaaa", None]
    huge = store.put(b"h" * 100)
    assert (store.get(names[0]), store.get(huge)) == (None, b"h" * 100)


def test_a_placeholder_has_every_path_that_is_read() -> None:
    call = make_call(
        "some/app", {"prompt": "hi"},
        "images.1.url", "video.url", "some.3.deep", "a.0.b.0", "whole", "image",
        "timings", "seed", "mixed.0", "mixed.x", "output",
    )  # fmt: skip
    output = perform(call)
    url = output["video"]["url"]
    file = {"url": url, "width": 256, "height": 256, "content_type": "image/png"}
    text = "Placeholder answer of some/app to: hi"
    assert output == {
        "output": text,
        "timings": {},
        "images": [file, file],
        "video": file,
        "some": [{"deep": text}] * 4,
        "a": [{"b": [text]}],
        "whole": text,
        "image": file,
        "seed": 0,
        "mixed": {"0": text, "x": text},
    }
    assert call.media.fetch(url).size == (256, 256)


def test_a_placeholder_nobody_reads_has_the_generic_fields() -> None:
    assert perform(make_call("some/app", {})) == {
        "output": "Placeholder answer of some/app",
        "timings": {},
    }
