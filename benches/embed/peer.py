"""Pillow's and onnxruntime's side of benches/embed: pictures to embeddings, in one thread.

Run as peer.py WAY; WAY is JSON: how the manifest prepares pictures, the model, and the pictures' paths. For each line `exact` or
`draft` on its standard input it embeds all pictures once and prints the seconds. With `draft` Pillow has libjpeg decode at
a half, a quarter or an eighth.
"""

import json
import math
import sys
import time

import numpy as np
import onnxruntime
from PIL import Image


def pixels(path, way, draft):
    height, width = way["size"]
    ratio = way["ratio"]
    with Image.open(path) as image:
        if draft:
            cover = [round(side / ratio) if ratio else side for side in (width, height)]
            image.draft("RGB", cover)
        image = image.convert("RGB")
    if ratio is None:
        box = None
    else:
        # The centre, as Preprocess does it.
        scale = max(round(width / ratio) / image.width, round(height / ratio) / image.height)
        full = [round(image.width * scale), round(image.height * scale)]
        left, top = math.floor((full[0] - width) / 2), math.floor((full[1] - height) / 2)
        box = (left / scale, top / scale, min((left + width) / scale, image.width), min((top + height) / scale, image.height))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))


def main():
    way = json.loads(sys.argv[1])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(way["model"], options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = [way["output"]] if way["output"] in names else None
    mean, std, scale = (np.array(way[key], np.float32) for key in ("mean", "std", "scale"))

    def embed(path, draft):
        values = pixels(path, way, draft)
        if way["channels"] == "bgr":
            values = values[..., ::-1]
        values = (values * scale - mean) / std
        if way["layout"] == "nchw":
            values = values.transpose(2, 0, 1)
        return session.run(outputs, {way["input"]: np.ascontiguousarray(values[None], np.float32)})[0]

    print(f"Pillow {Image.__version__} and onnxruntime {onnxruntime.__version__}", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for path in way["pictures"]:
            embed(path, line.strip() == "draft")
        print(time.perf_counter() - started, flush=True)


main()
