"""scikit-learn's side of benches/fit.rs: fits the same data and prints one JSON object a line.

Run as fit_peer.py DATA; DATA begins with a line of JSON, then X (n, d) f32, y (n,) u32, fold (n,) u32, little-endian.
The loss is mean cross-entropy + lambda/2 ||W||^2, computed here in f64 for every fit. Times are of one thread.
"""

import json
import os
import resource
import sys
import time
import warnings

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

warnings.filterwarnings("ignore")


def loss(model, x, y, lam):
    logits = x @ model.coef_.astype(np.float64).T + model.intercept_
    logits -= logits.max(axis=1, keepdims=True)
    entropy = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
    return entropy.mean() + lam / 2 * (model.coef_.astype(np.float64) ** 2).sum()


def timed(call):
    wall, cpu = time.perf_counter(), time.process_time()
    model = call()
    return model, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main():
    with open(sys.argv[1], "rb") as file:
        head = json.loads(file.readline())
        n, d = head["n"], head["d"]
        z = np.fromfile(file, np.float32, n * d).reshape(n, d)
        y = np.fromfile(file, np.uint32, n).astype(np.int64)
        fold = np.fromfile(file, np.uint32, n)
    x = z.astype(np.float64)
    x -= x.mean(axis=0)
    # As src/train/fast/scale.rs divides.
    spread = x.std(axis=0)
    varies = spread > 1e-6 * spread.max()
    x /= np.where(varies, (spread**2 + (0.1 * spread[varies].mean()) ** 2) ** 0.25, np.inf)
    x /= np.sqrt((x[:, varies] ** 2).mean())
    say = lambda **what: print(json.dumps(what), flush=True)
    say(version=sklearn.__version__, numpy=np.__version__)
    for dtype in (np.float64, np.float32):
        given = x.astype(dtype)
        for lam in head["single"]:
            model, took = timed(lambda: LogisticRegression(C=1 / (lam * n)).fit(given, y))
            say(fit="single", dtype=dtype.__name__, lam=lam, loss=loss(model, x, y, lam), passes=int(max(model.n_iter_)), **took)
        folds = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(fold.max() + 1)]
        # The penalty is on the mean loss of the samples that a fold trains on, four fifths of n.
        cs = sorted(1 / (lam * n * 0.8) for lam in head["path"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model, took = timed(
            lambda: LogisticRegressionCV(
                Cs=cs, cv=folds, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False
            ).fit(given, y)
        )
        grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        scores = -np.asarray(model.scores_).reshape(len(folds), -1, len(cs)).mean(axis=(0, 1))
        path = [[1 / (c * n * 0.8), float(s)] for c, s in zip(cs, scores)]
        say(fit="path", dtype=dtype.__name__, path=path, grew=grew, passes=int(np.sum(model.n_iter_)), **took)


main()
