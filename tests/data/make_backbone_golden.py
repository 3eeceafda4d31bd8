#!/usr/bin/env python3
"""Makes backbone.json: what the backbone photo says of three generated pictures, by Pillow and ONNX Runtime's Python.

    python3 make_backbone_golden.py          # writes backbone.json beside itself; needs numpy, pillow and onnxruntime

The pictures are drawn by whole-number formulas that tests/golden.rs repeats, so no decoder stands between: colour
ramps, a checkerboard of many frequencies, rings. The preparation is what models/photo.yaml says of it.
"""

import json
import pathlib

import numpy as np
import onnxruntime
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "models" / "edgetuned-photo.onnx"


def pictures():
    """name -> uint8, height x width x 3."""
    y, x = np.mgrid[0:150, 0:200]
    yield "ramps", np.stack([x * 255 // 199, y * 255 // 149, (x + y) * 255 // 348], 2)
    y, x = np.mgrid[0:128, 0:128]
    yield "checks", np.stack([(x // (1 + y // 16) + y // 8) % 2 * 255, (x // 8 + y // 8) % 2 * 200, (x ^ y) % 256], 2)
    y, x = np.mgrid[0:211, 0:97]
    rings = (x - 48) ** 2 + (y - 100) ** 2
    yield "rings", np.stack([rings // 16 % 256, 255 - rings // 64 % 256, np.where(rings < 1600, 230, 40)], 2)


def main():
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[2]
    golden = {}
    for name, pixels in pictures():
        picture = Image.fromarray(pixels.astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
        tensor = ((np.asarray(picture, np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
        embedding = session.run(["embedding"], {"input": np.ascontiguousarray(tensor)})[0][0]
        golden[name] = [round(float(value), 4) for value in embedding]
    lines = ",\n".join(f'  "{name}": {json.dumps(values)}' for name, values in golden.items())
    (HERE / "backbone.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
