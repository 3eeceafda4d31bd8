#!/usr/bin/env python3
"""What each backbone is worth to `edgetuned train`: accuracy from few labels, beside milliseconds per image.

    tools/backbones.py [--data DATA] [--draws 10] [--also MANIFEST]

The bundled backbones, those given with --also, and the models of DATA (../shared/data by default, as
tools/accuracy.py describes it): trained on 5 and 10 pictures a class (mean and standard deviation over draws) and on
all, measured on test pictures. `mean` is over the six columns of 10 and all; 5-shot is shown and not in it. The time
is that of ONNX Runtime alone, one thread, one image, the median over rounds in which the models take turns. Needs the
program built (`cargo build`), and numpy, onnx and onnxruntime for the time.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import accuracy

TESTS = {"trashnet": ["trashnet"], "corn-color": ["corn-color", "corn-segmented"]}
BUNDLED = ["default", "default-int8"]


def run(into, *arguments):
    command = [accuracy.PROGRAM, "--json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(into)})
    if done.returncode != 0:
        sys.exit(f"edgetuned {arguments[0]} failed: {done.stderr}")
    return json.loads(done.stdout)


def accuracies(model, sets, into, draws):
    """(tested on, shots) -> accuracies in %, one a draw; shots None is all."""
    found = {}
    head = into / "head.safetensors"
    for training, tests in TESTS.items():
        for shots in (5, 10, None):
            for seed in range(draws if shots else 1):
                few = ["--shots", shots] if shots else []
                run(into, "train", sets[training, "train"], *few, "--seed", seed, "--backbone", model, "--out", head)
                for test in tests:
                    report = run(into, "evaluate", sets[test, "test"], "--head", head, "--backbone", model)
                    found.setdefault((test, shots), []).append(100 * report["accuracy"])
    return found


def milliseconds(files, rounds=60):
    """Median milliseconds an image of each ONNX file, in turns; None where onnxruntime is not installed."""
    try:
        import numpy
        import onnxruntime
    except ImportError:
        return [None] * len(files)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]) for file in files]
    tensors = []
    for session in sessions:
        shape = [axis if isinstance(axis, int) else 1 for axis in session.get_inputs()[0].shape]
        tensors.append(numpy.random.default_rng(0).uniform(-1, 1, shape).astype("float32"))
    taken = [[] for _ in files]
    for _ in range(rounds):
        for session, tensor, times in zip(sessions, tensors, taken):
            name = session.get_inputs()[0].name
            begin = time.perf_counter()
            session.run(["embedding"], {name: tensor})
            times.append(1000 * (time.perf_counter() - begin))
    return [statistics.median(times) for times in taken]


def cell(values):
    spread = f"±{statistics.pstdev(values):3.1f}" if len(values) > 1 else "    "
    return f"{statistics.mean(values):5.1f}{spread}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=pathlib.Path, default=accuracy.ROOT / ".." / "shared" / "data")
    arguments.add_argument("--draws", type=int, default=10)
    arguments.add_argument("--also", action="append", default=[], help="another manifest")
    given = arguments.parse_args()
    if not given.data.is_dir():
        sys.exit(f"skipped: {given.data} is not here")
    os.chdir(accuracy.ROOT)
    with tempfile.TemporaryDirectory() as temporary:
        into = pathlib.Path(temporary)
        parts = [(name, "train") for name in TESTS] + [(name, "test") for tests in TESTS.values() for name in tests]
        sets = {(name, part): accuracy.folders(given.data, name, part, into) for name, part in parts}
        listed = {row["name"]: row["model"] for row in run(into, "backbone", "list")}
        models = [(name, name, listed[name]["file"]) for name in BUNDLED if name in listed]
        for manifest in given.also:
            file = next(line.split()[1] for line in open(manifest) if line.startswith("file:"))
            models.append((pathlib.Path(manifest).stem, manifest, pathlib.Path(manifest).parent / file))
        models += [(name, accuracy.manifest(given.data, name, into), given.data / "models" / f"{name}.onnx")
                   for name in accuracy.MODELS]
        times = milliseconds([file for _, _, file in models])
        tests = [test for tests in TESTS.values() for test in tests]
        print(f"{'':29}" + "".join(f"{test:31}" for test in tests))
        columns = "".join(f"{shots:10}" for shots in ("5-shot", "10-shot", "all"))
        print(f"{'backbone':29}" + f"{columns} " * len(tests) + "  mean  ms/image")
        for (name, model, _), ms in zip(models, times):
            found = accuracies(model, sets, into, given.draws)
            cells = "".join("".join(f"{cell(found[test, shots])} " for shots in (5, 10, None)) + " " for test in tests)
            mean = statistics.mean(statistics.mean(found[test, shots]) for test in tests for shots in (10, None))
            print(f"{name:29}{cells}{mean:6.2f}  {'-' if ms is None else f'{ms:.2f}'}", flush=True)


if __name__ == "__main__":
    main()
