#!/usr/bin/env python3
"""Runs a model that `edgetuned export` wrote in Python's ONNX Runtime, prepared as its own metadata say.

    tools/check_export.py MODEL.onnx PICTURE...                    prints the probabilities of each picture
    tools/check_export.py MODEL.onnx --head HEAD PICTURE...        compares them with those of `edgetuned predict`

With --head the pictures are first brought to a size that needs no resizing and saved as PNG, so that both sides see the
same pixels: resizers and JPEG decoders differ, the networks must not. Exits 1 when a probability differs by more than
1e-4. The embeddings are kept in full precision, in a store of their own. --backbone and --program as for the command
(the program is target/debug/edgetuned by default). Needs onnxruntime, numpy and Pillow.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from fractions import Fraction

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4


def cover(way):
    """Height and width that a picture has to be resized to at least before the crop, or to exactly."""
    ratio = way["crop_ratio"] if way["resize"] == "crop" else 1.0
    return [round(side / ratio) for side in way["size"]]


def exact(part):
    """A part of width or height in millionths, as the program keeps it."""
    return Fraction(round(part * 1_000_000), 1_000_000)


def polygon_of(region):
    """The corners of a region; of a box all four."""
    if isinstance(region[0], list):
        return [[exact(part) for part in corner] for corner in region]
    left, top, right, bottom = map(exact, region)
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def within(corners, axis, length):
    """The rows or columns, of so many, whose centres lie in the box of a polygon; where none does, the one in its middle."""
    low, high = (limit(corner[axis] for corner in corners) for limit in (min, max))
    found = [at for at in range(length) if low <= Fraction(2 * at + 1, 2 * length) < high]
    return found or [min(length - 1, int((low + high) / 2 * length))]


def cut(picture, region, grey):
    """The box of a region, grey where the centre of a pixel is not in it by the even-odd rule."""
    corners = polygon_of(region)
    columns, rows = (within(corners, axis, picture.size[axis]) for axis in (0, 1))
    part = np.asarray(picture)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    kept = np.zeros(part.shape[:2], bool)
    x = [Fraction(2 * at + 1, 2 * picture.size[0]) for at in columns]
    for row, at in enumerate(rows):
        y = Fraction(2 * at + 1, 2 * picture.size[1])
        crossings = [
            ax + (y - ay) * (bx - ax) / (by - ay)
            for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1])
            if (ay <= y) != (by <= y)
        ]
        kept[row] = [sum(crossing <= centre for crossing in crossings) % 2 for centre in x]
    return Image.fromarray(np.where(kept[..., None], part, np.uint8(grey)) if kept.any() else part)


def showing(region, axis, length):
    """Width or height of a picture whose region is so long."""
    corners = polygon_of(region)
    return next(whole for whole in range(length, 100 * length + 1) if len(within(corners, axis, whole)) == length)


def resized(picture, way):
    """The picture as (h, w, 3), uint8."""
    (h, w), (from_w, from_h) = way["size"], picture.size
    if way["resize"] == "stretch":
        return np.asarray(picture.resize((w, h), Image.BILINEAR))
    if way["resize"] == "crop":
        cover_h, cover_w = cover(way)
        if cover_w * from_h >= cover_h * from_w:
            full_w, full_h = cover_w, max(h, round(from_h * cover_w / from_w))
        else:
            full_w, full_h = max(w, round(from_w * cover_h / from_h)), cover_h
        left, top = (full_w - w) // 2, (full_h - h) // 2
        return np.asarray(picture.resize((full_w, full_h), Image.BILINEAR))[top : top + h, left : left + w]
    scale = min(w / from_w, h / from_h)
    inner_w, inner_h = max(1, min(w, round(from_w * scale))), max(1, min(h, round(from_h * scale)))
    canvas = np.full((h, w, 3), way["pad"], np.uint8)
    left, top = (w - inner_w) // 2, (h - inner_h) // 2
    canvas[top : top + inner_h, left : left + inner_w] = picture.resize((inner_w, inner_h), Image.BILINEAR)
    return canvas


def tensor(picture, way):
    """The input (1, 3, h, w) or (1, h, w, 3), float32."""
    pixels = resized(picture, way)
    pixels = (pixels if way["channels"] == "rgb" else pixels[..., ::-1]).astype(np.float32)
    scale, mean, std = (np.float32(way[key]) for key in ("scale", "mean", "std"))
    values = (pixels * scale - mean) / std
    return np.ascontiguousarray(values if way["layout"] == "nhwc" else values.transpose(2, 0, 1))[None]


def opened(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def predicted(arguments, pictures, folder):
    """What the program says: for each picture, probability by class."""
    config = folder / "config.yaml"
    store = {"path": str(folder / "store"), "precision": "f32"}
    config.write_text(json.dumps({"store": store, "mqtt": {"url": None}}))
    command = [arguments.program, "predict", "--json", "--config", config, "--head", arguments.head]
    command += ["--top-k", "100000"] + (["--backbone", arguments.backbone] if arguments.backbone else []) + pictures
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"edgetuned predict ended with {ran.returncode}: {ran.stdout}")
    answers = json.loads(ran.stdout)
    return [{choice["label"]: choice["probability"] for choice in answer["top"]} for answer in answers]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--head")
    parser.add_argument("--backbone")
    parser.add_argument("--program", default=ROOT / "target/debug/edgetuned")
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(arguments.model, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    classes, way = json.loads(metadata["classes"]), json.loads(metadata["preprocessing"])
    kind = json.loads(metadata["head"]).get("kind", "softmax")
    region = json.loads(metadata.get("region", "[0, 0, 1, 1]"))
    batch = session.get_inputs()[0].shape[0]

    def probabilities(picture):
        part = cut(picture, region, 114 if way["pad"] is None else way["pad"])
        fed = np.repeat(tensor(part, way), batch if isinstance(batch, int) else 1, axis=0)
        return session.run(["probabilities"], {way["tensor"]: fed})[0][0]

    if arguments.head is None:
        for path in arguments.pictures:
            found = probabilities(opened(path))
            best = sorted(zip(found, classes), reverse=True)[:3]
            print(f"{path}: " + ", ".join(f"{name} {100 * probability:.1f} %" for probability, name in best))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        folder, plain = pathlib.Path(folder), []
        for index, path in enumerate(arguments.pictures):
            plain.append(folder / f"{index}.png")
            height, width = (showing(region, axis, length) for axis, length in zip((1, 0), cover(way)))
            opened(path).resize((width, height), Image.BILINEAR).save(plain[-1])
        worst, agreed = 0.0, 0
        for path, expected in zip(plain, predicted(arguments, plain, folder)):
            found = dict(zip(classes, probabilities(opened(path))))
            assert found.keys() == expected.keys(), "the file's classes are not those of the head"
            worst = max(worst, max(abs(float(found[name]) - expected[name]) for name in classes))
            agreed += max(found, key=found.get) == max(expected, key=expected.get)
    print(f"onnxruntime {onnxruntime.__version__}: {kind} head, {len(plain)} pictures, {len(classes)} classes, {agreed} named alike, "
          f"largest difference {worst:.2e}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
