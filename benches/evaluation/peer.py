#!/usr/bin/env python3
"""What other heads make of embeddings: peer.py FOLDER; one JSON document on standard output.

FOLDER holds job.json and files of little-endian float32. The job: `train` {file, rows, y} and `tests` [{file, rows}]
(embeddings, one row a picture; y is the class of each), `draws` (lists of rows of `train` to learn from) and `methods`.
The answer: for each method, draw and test the probabilities, row by row, a column for every class of `y`; a class that
a draw does not have gets 0.

Methods, from the embedding as it is; "standardised" is by the mean and deviation of the pictures of the draw:

cv     scikit-learn's LogisticRegressionCV on standardised embeddings: ten Cs from 1e-4 to 1e4, five stratified folds,
       the C of the best accuracy (its default until 1.11), L2 penalty, L-BFGS with at most 1,000 iterations, tol 1e-6
lr     scikit-learn's LogisticRegression, C = 1, the same otherwise
coral  the recipe of pycoral for training on a device (examples/backprop_last_layer.py with
       learn/backprop/softmax_regression.py, google-coral/pycoral): softmax regression on raw embeddings, weights from
       0.05 times a standard normal distribution, biases 0, 500 steps of SGD with a learning rate of 0.01 on batches of
       100 pictures drawn with replacement, no penalty. It keeps a tenth for validation and one for testing; here it
       learns from all pictures of the draw
knn    scikit-learn's KNeighborsClassifier, k = 5, cosine distance, all neighbours alike
mean   scikit-learn's NearestCentroid: Euclidean distance to the means of the classes of standardised embeddings; its
       probabilities are 1 for the nearest and 0 for the others

Where there are more values than pictures, the L2-penalised fits run in the span of the standardised training pictures
(all right singular vectors), which is many times faster. The penalty has no part outside of it, so the optimum lies in
it, also that of each fold; the tolerance is a hundredth of scikit-learn's default, so that both ways end at that
optimum. `peer.py --check` compares them on random data, and the SGD with its plain form.
"""

import json
import os
import pathlib
import sys
import warnings

# One thread: several peers run side by side. It has to be set before numpy is loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")


def cross_validated():
    return LogisticRegressionCV(
        Cs=10, cv=5, scoring="accuracy", l1_ratios=(0,), tol=1e-6, max_iter=1000, use_legacy_attributes=False
    )


def plain():
    return LogisticRegression(C=1.0, tol=1e-6, max_iter=1000)


def in_span(model, x, y, tests):
    """Probabilities of a penalised model that is fitted in the span of `x` (n, d)."""
    basis = numpy.linalg.svd(x, full_matrices=False)[2].T if len(x) < x.shape[1] else numpy.eye(x.shape[1])
    model.fit(x @ basis, y)
    return [model.predict_proba(test @ basis) for test in tests]


def softmax(logits):
    p = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def coral(x, y, tests, seed):
    """SGD in the form of weights for the training pictures: W = W0 + x^T a, so a step costs n^2 instead of n d."""
    random = numpy.random.default_rng(seed)
    classes = y.max() + 1
    start = 0.05 * random.standard_normal((x.shape[1], classes))
    gram, truth = x @ x.T, numpy.eye(classes)[y]
    logits, a, bias = x @ start, numpy.zeros((len(x), classes)), numpy.zeros(classes)
    for _ in range(500):
        drawn = numpy.bincount(random.integers(len(x), size=100), minlength=len(x)) / 100
        step = -0.01 * drawn[:, None] * (softmax(logits + bias) - truth)
        a += step
        bias += step.sum(axis=0)
        logits += gram @ step
    return [softmax(test @ start + (test @ x.T) @ a + bias) for test in tests]


def nearest_mean(x, y, tests):
    model = NearestCentroid().fit(x, y)
    return [numpy.eye(y.max() + 1)[model.predict(test)] for test in tests]


def probabilities(method, x, y, tests, seed):
    if method == "coral":
        return coral(x, y, tests, seed)
    if method == "knn":
        model = KNeighborsClassifier(min(5, len(x)), metric="cosine").fit(x, y)
        return [model.predict_proba(test) for test in tests]
    scaler = StandardScaler().fit(x)
    x, tests = scaler.transform(x), [scaler.transform(test) for test in tests]
    if method == "mean":
        return nearest_mean(x, y, tests)
    return in_span({"cv": cross_validated, "lr": plain}[method](), x, y, tests)


def spread_out(p, classes, count):
    """Columns of `p` (n, classes of a draw) in a matrix with a column for each of `count` classes."""
    whole = numpy.zeros((len(p), count))
    whole[:, classes] = p
    return [round(value, 7) for value in whole.ravel().tolist()]


def answer(folder):
    job = json.loads((folder / "job.json").read_text())

    def read(part):
        return numpy.fromfile(folder / part["file"], dtype="<f4").reshape(part["rows"], -1).astype(numpy.float64)

    x, y, tests = read(job["train"]), numpy.array(job["train"]["y"]), [read(test) for test in job["tests"]]
    answers = {method: [] for method in job["methods"]}
    for seed, draw in enumerate(job["draws"]):
        classes, own = numpy.unique(y[draw], return_inverse=True)
        for method, found in answers.items():
            of_tests = probabilities(method, x[draw], own, tests, seed)
            found.append([spread_out(p, classes, y.max() + 1) for p in of_tests])
    return answers


def check():
    """Fails where the fit in the span or SGD by weights of pictures is another one than the plain form."""
    random = numpy.random.default_rng(0)
    y = numpy.repeat(numpy.arange(3), 8)
    means = random.standard_normal((3, 60))
    x, test = (means[y] + 2 * random.standard_normal((24, 60)) for _ in range(2))
    scaler = StandardScaler().fit(x)
    for make in (cross_validated, plain):
        direct = make().fit(scaler.transform(x), y).predict_proba(scaler.transform(test))
        spanned = in_span(make(), scaler.transform(x), y, [scaler.transform(test)])[0]
        difference = abs(direct - spanned).max()
        print(f"{type(make()).__name__}: largest difference of a probability {difference:.1e}")
        assert difference < 1e-3
    generator = numpy.random.default_rng(5)
    w, b = 0.05 * generator.standard_normal((60, 3)), numpy.zeros(3)
    for _ in range(500):
        rows = generator.integers(24, size=100)
        d = (softmax(x[rows] @ w + b) - numpy.eye(3)[y[rows]]) / 100
        w, b = w - 0.01 * x[rows].T @ d, b - 0.01 * d.sum(axis=0)
    difference = abs(softmax(test @ w + b) - coral(x, y, [test], 5)[0]).max()
    print(f"SGD: largest difference of a probability {difference:.1e}")
    assert difference < 1e-9


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        print(json.dumps(answer(pathlib.Path(sys.argv[1]))))
