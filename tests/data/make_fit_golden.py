"""Makes fit.json: generated data with scikit-learn's answers, for tests/fit.rs.

Run with numpy and scikit-learn 1.9: python make_fit_golden.py > fit.json

J = sum_i w_i loss_i / sum w + lambda/2 ||W||^2 is lambda times scikit-learn's objective 1/2 ||W||^2 + C sum_i w_i
loss_i at C = 1 / (lambda sum w). Features are (z - mean) / t with t^4 = s^2 + (mean(s) / 10)^2, s the standard
deviations, all t times one number so that the mean square of the features is 1. Always three classes or more: of two,
scikit-learn fits one row of weights instead of a softmax over two, which is another penalty.
"""

import json
import warnings

import numpy as np
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore", category=FutureWarning)


def features(z):
    s = z.std(0)
    x = (z - z.mean(0)) / (s**2 + (0.1 * s.mean()) ** 2) ** 0.25
    return x / np.sqrt((x**2).mean())


def fit(rng, n, d, sizes, lam, balanced):
    y = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(size=(len(sizes), d))
    z = np.round((centres[y] + 1.5 * rng.normal(size=(n, d))) * rng.uniform(0.2, 5, d) + rng.uniform(0, 3, d), 3)
    z = z.astype(np.float32).astype(np.float64)
    x = features(z)
    counts = np.bincount(y)
    w = np.minimum(10, n / (len(sizes) * counts))[y] if balanced else np.ones(n)
    model = LogisticRegression(C=1 / (lam * w.sum()), tol=1e-10, max_iter=100_000).fit(x, y, sample_weight=w)
    log_p = model.predict_log_proba(x)
    loss = -(w * log_p[np.arange(n), y]).sum() / w.sum() + lam / 2 * (model.coef_**2).sum()
    return {
        "lambda": lam,
        "balanced": balanced,
        "y": y.tolist(),
        "z": [[round(float(v), 3) for v in row] for row in z],
        "loss": loss,
        "probabilities": [[round(float(v), 6) for v in row] for row in np.exp(log_p[:: max(1, n // 8)])],
        "every": max(1, n // 8),
    }


def ece(p, y):
    """15 bins (low, high] of the top probability, as in arXiv 1706.04599."""
    top, right = p.max(1), p.argmax(1) == y
    edges = np.linspace(0, 1, 16)
    total = 0.0
    for low, high in zip(edges, edges[1:]):
        inside = (top > low) & (top <= high)
        total += abs((right[inside] - top[inside]).sum()) / len(y)
    return total


def figures(rng, n, k):
    y = rng.integers(0, k, n)
    y[:k] = np.arange(k)
    logits = rng.normal(size=(n, k)) * 1.5
    logits[np.arange(n), y] += 1.5
    p = np.exp(logits)
    p = np.round(p / p.sum(1, keepdims=True), 4).astype(np.float32).astype(np.float64)
    said = p.argmax(1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, said, zero_division=0)
    return {
        "y": y.tolist(),
        "probabilities": [[round(float(v), 4) for v in row] for row in p],
        "accuracy": metrics.accuracy_score(y, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, said),
        "macro_f1": metrics.f1_score(y, said, average="macro"),
        # Not metrics.log_loss: it normalises the rounded rows first.
        "log_loss": float(-np.log(np.maximum(p[np.arange(n), y], 1e-6)).mean()),
        "ece": ece(p, y),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "confusion": metrics.confusion_matrix(y, said).tolist(),
    }


rng = np.random.default_rng(20)
print(
    json.dumps(
        {
            "fits": [
                fit(rng, 90, 6, [30, 30, 30], 0.1, False),
                fit(rng, 70, 6, [50, 15, 5], 0.01, True),
                fit(rng, 48, 110, [20, 16, 8, 4], 0.1, True),
                fit(rng, 40, 90, [14, 13, 13], 0.001, False),
            ],
            "figures": [figures(rng, 80, 4), figures(rng, 33, 3)],
        }
    )
)
