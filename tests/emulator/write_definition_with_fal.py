"""Prints a workflow definition written by the PyPI package ``fal``.

Run with an interpreter that has ``fal`` installed; see test_fal_package.py.
"""

import json
import sys

from fal.workflows import create_workflow
from pydantic import BaseModel


class Input(BaseModel):
    prompt: str
    num_images: int = 1


class Output(BaseModel):
    sticker: str
    caption: str


workflow = create_workflow("fal-written", Input, Output)
prompt = workflow.input.prompt
idea = workflow.run("fal-ai/any-llm", {"prompt": prompt, "context": [{"all": workflow.input}]})
size = {"width": 96, "height": 64}
first = workflow.run(
    "fal-ai/fast-sdxl",
    {"prompt": prompt, "num_images": workflow.input.num_images, "image_size": size, "seed": 1},
)
second = workflow.run("fal-ai/fast-sdxl", {"prompt": idea.output, "image_size": size, "seed": 2})
cutout = workflow.run("fal-ai/imageutils/rembg", {"image_url": first.images[0].url})
sticker = workflow.run("fal-ai/face-to-sticker", {"image_url": cutout.image.url})
film = workflow.run(
    "fal-ai/some-video-model",
    {"images": [first.images[0].url, second.images[0].url], "options": {"mask": cutout.image}},
)
workflow.display(sticker.images[0].url, film.video.url)
workflow.set_output({"sticker": sticker.images[0].url, "caption": film.captions[2].text})
sys.stdout.write(json.dumps(workflow.to_json()))
