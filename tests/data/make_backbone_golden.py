#!/usr/bin/env python3
"""Makes backbone.json and regions.json: what the backbone photo says of three generated pictures and of regions of them, by numpy, Pillow
and ONNX Runtime's Python; and how many pixels each region has.

    python3 make_backbone_golden.py          # writes both beside itself; needs numpy, pillow, onnx and onnxruntime

The pictures are drawn by whole-number formulas that tests/golden.rs repeats, so no decoder stands between: colour
ramps, a checkerboard of many frequencies, rings. The preparation is what models/photo.yaml says of it. Behind the embedding
come the inner values that it names: means, then deviations over height and width. A region is cut
out before: pixels whose centres lie within, by the even-odd rule in fractions, the rest of a polygon's box grey.
"""

import json
import pathlib
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "models" / "edgetuned-photo.onnx"

# As models/photo.yaml has them, each with mean and std.
INNER = ["block6"]


def pictures():
    """name -> uint8, height x width x 3."""
    y, x = np.mgrid[0:150, 0:200]
    yield "ramps", np.stack([x * 255 // 199, y * 255 // 149, (x + y) * 255 // 348], 2)
    y, x = np.mgrid[0:128, 0:128]
    yield "checks", np.stack([(x // (1 + y // 16) + y // 8) % 2 * 255, (x // 8 + y // 8) % 2 * 200, (x ^ y) % 256], 2)
    y, x = np.mgrid[0:211, 0:97]
    rings = (x - 48) ** 2 + (y - 100) ** 2
    yield "rings", np.stack([rings // 16 % 256, 255 - rings // 64 % 256, np.where(rings < 1600, 230, 40)], 2)


REGIONS = [
    ("ramps box", "ramps", ["0", "0.25", "0.3", "0.85"]),
    ("checks box", "checks", ["0.501", "0.1", "0.999", "0.333333"]),
    ("checks triangle", "checks", [["0.1", "0.1"], ["0.9", "0.2"], ["0.4", "0.95"]]),
    ("rings star", "rings", [["0.5", "0"], ["0.8", "1"], ["0", "0.4"], ["1", "0.4"], ["0.2", "1"]]),
]
PAD = 114


def cut(pixels, region):
    """The region of a picture, and how many of its pixels are not grey padding."""
    height, width = pixels.shape[:2]
    corners = [[Fraction(part) for part in corner] for corner in region] if isinstance(region[0], list) else None
    edges = [Fraction(part) for part in region] if corners is None else [
        limit(corner[axis] for corner in corners) for limit in (min, max) for axis in (0, 1)]
    centres_x = [Fraction(2 * x + 1, 2 * width) for x in range(width)]
    centres_y = [Fraction(2 * y + 1, 2 * height) for y in range(height)]
    columns = [x for x, centre in enumerate(centres_x) if edges[0] <= centre < edges[2]]
    rows = [y for y, centre in enumerate(centres_y) if edges[1] <= centre < edges[3]]
    out = pixels[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].copy()
    if corners is None:
        return out, out.shape[0] * out.shape[1]
    kept = 0
    for row, y in enumerate(rows):
        crossings = []
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
            if (ay <= centres_y[y]) != (by <= centres_y[y]):
                crossings.append(ax + (centres_y[y] - ay) * (bx - ax) / (by - ay))
        for column, x in enumerate(columns):
            if sum(crossing <= centres_x[x] for crossing in crossings) % 2:
                kept += 1
            else:
                out[row, column] = PAD
    return out, kept


def main():
    model = onnx.load(MODEL)
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in INNER)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[2]
    golden, kept = {}, {}
    drawn = {name: pixels.astype(np.uint8) for name, pixels in pictures()}
    for name, of, region in REGIONS:
        drawn[name], kept[name] = cut(drawn[of], region)
    for name, pixels in drawn.items():
        picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        tensor = ((np.asarray(picture, np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
        embedding, *maps = session.run(["embedding", *INNER], {"input": np.ascontiguousarray(tensor)})
        inner = [part for of in maps for part in (of[0].mean((1, 2), np.float64), of[0].std((1, 2), np.float64))]
        golden[name] = [round(float(value), 4) for value in np.concatenate([embedding[0], *inner])]
    lines = [f'  "{name}": {json.dumps(values)}' for name, values in golden.items()]
    (HERE / "backbone.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    shapes = {name: {"size": drawn[name].shape[1::-1], "kept": kept[name]} for name, _, _ in REGIONS}
    lines = [f'  "{name}": {json.dumps(shape)}' for name, shape in shapes.items()]
    (HERE / "regions.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
