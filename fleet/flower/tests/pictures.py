"""Draws pictures of shapes, a folder for each class: pictures.py FOLDER SEED IMAGES CLASS..."""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"disc": (200, 60, 50), "square": (60, 160, 80), "triangle": (60, 80, 200)}
SIZE = 96


def picture(shape: str, dice: random.Random) -> Image.Image:
    """A shape of its colour somewhere on grey, in changing size and light."""
    light = dice.randint(-30, 30)
    image = Image.new("RGB", (SIZE, SIZE), (150 + light,) * 3)
    radius, x, y = dice.randint(16, 28), dice.randint(34, 62), dice.randint(34, 62)
    colour = tuple(max(0, min(255, value + light + dice.randint(-15, 15))) for value in COLOURS[shape])
    draw = ImageDraw.Draw(image)
    match shape:
        case "disc":
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        case "square":
            draw.rectangle((x - radius, y - radius, x + radius, y + radius), fill=colour)
        case "triangle":
            draw.regular_polygon((x, y, radius), 3, rotation=dice.randint(0, 119), fill=colour)
    return image


def main(folder: str, seed: str, images: str, *shapes: str) -> None:
    dice = random.Random(int(seed))
    for shape in shapes:
        place = Path(folder, shape)
        place.mkdir(parents=True, exist_ok=True)
        for index in range(int(images)):
            picture(shape, dice).save(place / f"{shape}-{index:03}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
