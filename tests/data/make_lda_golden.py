"""Makes lda.json: generated data with scikit-learn's discriminants, for tests/lda.rs.

Run with numpy and scikit-learn 1.9: python make_lda_golden.py > lda.json

scikit-learn's covariance is the sum over classes of prior times the covariance of the class divided by n_k; with priors
n_k / N that is S / N, where Lda divides by N - K. So its coefficients are N / (N - K) times ours, and its intercepts
are that for ours without priors, plus log n_k / N. Always three classes or more: of two it keeps one row. `oas` is
equation 23 of Chen et al. 2010 worked on S / (N - K); scikit-learn's OAS leaves out the terms with 2 / d.
"""

import json

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def case(rng, d, sizes, eps):
    y = np.repeat(np.arange(len(sizes)), sizes)
    n, k = len(y), len(sizes)
    z = rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d)
    z = np.round(z, 3).astype(np.float32).astype(np.float64)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=eps).fit(z, y)
    residual = z - np.stack([z[y == c].mean(0) for c in range(k)])[y]
    covariance = residual.T @ residual / (n - k)
    square, trace, freedom = (covariance**2).sum(), np.trace(covariance), n - k
    above = (1 - 2 / d) * square + trace**2
    return {
        "eps": eps,
        "y": y.tolist(),
        "z": [[round(float(v), 3) for v in row] for row in z],
        "coefficients": model.coef_.tolist(),
        "intercepts": model.intercept_.tolist(),
        "oas": min(1.0, above / ((freedom + 1 - 2 / d) * (square - trace**2 / d))),
    }


rng = np.random.default_rng(21)
cases = [case(rng, 5, [20, 12, 8], 0.1), case(rng, 30, [9, 7, 2, 1], 0.3), case(rng, 12, [15, 15, 15], 0.01)]
print(json.dumps({"cases": cases}))
