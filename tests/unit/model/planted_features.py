"""Feature rows with planted groups, so that the right neighbours are known."""

import numpy as np

from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS

COLUMNS = MODEL_INPUT_COLUMNS["fma518+1"]


def planted_features(groups=4, tracks_per_group=10, seed=0):
    """Return features (tracks, n) of tracks that resemble their group, and the groups.

    The covariances are positive definite.
    """
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.standard_normal((groups, len(COLUMNS))), tracks_per_group, axis=0)
    values += 0.4 * rng.standard_normal(values.shape)
    positions = [COLUMNS.index(f"mfcc_covariance_{n:03d}") for n in range(1, 211)]
    halves = np.repeat(rng.standard_normal((groups, 20, 20)), tracks_per_group, axis=0)
    halves = halves + 0.1 * rng.standard_normal(halves.shape)
    values[:, positions] = (halves @ halves.transpose(0, 2, 1))[:, *np.triu_indices(20)]
    return values.astype(np.float32), np.repeat(np.arange(groups), tracks_per_group)
