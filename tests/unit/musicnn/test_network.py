"""The network against convolutions written out, with random weights."""

import numpy as np
import scipy.signal

from jobs.musicnn.network import CONTEXT, N_FRAMES, N_MELS, Network

FILTERS = {"timbral_38": (38, 2), "timbral_67": (67, 2)}
FRAMES = {"temporal_128": (128, 2), "temporal_64": (64, 1), "temporal_32": (32, 2)}
N_FRONT = 9


def random_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def layer(name: str, kernel: tuple[int, ...]) -> dict[str, np.ndarray]:
        channels = kernel[-1]
        return {
            f"{name}/kernel": rng.standard_normal(kernel) / np.sqrt(np.prod(kernel[:-1])),
            f"{name}/bias": 0.1 * rng.standard_normal(channels),
            f"{name}/gain": rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels),
            f"{name}/offset": 0.1 * rng.standard_normal(channels),
        }

    arrays = {"input/gain": np.array([0.8]), "input/offset": np.array([-0.3])}
    for name, (bands, count) in FILTERS.items():
        arrays |= layer(name, (CONTEXT, bands, count))
    for name, (frames, count) in FRAMES.items():
        arrays |= layer(name, (frames, count))
    arrays |= layer("middle_1", (CONTEXT * N_FRONT, 4))
    arrays |= layer("middle_2", (CONTEXT * 4, 4))
    arrays |= layer("middle_3", (CONTEXT * 4, 4))
    n_pooled = 2 * (N_FRONT + 12)
    arrays |= layer("embedding", (n_pooled, 200))
    arrays |= {"tags/kernel": rng.standard_normal((200, 50)), "tags/bias": rng.standard_normal(50)}
    return arrays


def test_network_agrees_with_convolutions_written_out() -> None:
    arrays = random_arrays()
    patch = np.random.default_rng(1).random((N_FRAMES, N_MELS))

    def finish(name: str, values: np.ndarray) -> np.ndarray:
        rectified = np.maximum(values + arrays[f"{name}/bias"], 0)
        return rectified * arrays[f"{name}/gain"] + arrays[f"{name}/offset"]

    def same(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Correlate along the frames with TensorFlow's padding "same"."""
        before = (len(kernel) - 1) // 2
        padded = np.pad(values, ((before, len(kernel) - 1 - before), (0, 0)))
        return scipy.signal.correlate(padded, kernel, mode="valid")

    normalized = patch * arrays["input/gain"] + arrays["input/offset"]
    front = []
    for name in FILTERS:
        kernel = arrays[f"{name}/kernel"]
        outputs = np.stack([same(normalized, kernel[:, :, f]) for f in range(kernel.shape[2])], axis=2)
        front.append(finish(name, outputs).max(axis=1))
    for name in FRAMES:
        kernel = arrays[f"{name}/kernel"]
        outputs = np.stack([same(normalized, kernel[:, f : f + 1]) for f in range(kernel.shape[1])], axis=2)
        front.append(finish(name, outputs).max(axis=1))
    channels = [np.concatenate(front, axis=1)]
    for name in ("middle_1", "middle_2", "middle_3"):
        kernel = arrays[f"{name}/kernel"].reshape(CONTEXT, -1, 4)
        outputs = np.stack([same(channels[-1], kernel[:, :, f])[:, 0] for f in range(4)], axis=1)
        layer = finish(name, outputs)
        channels.append(layer if name == "middle_1" else layer + channels[-1])
    joined = np.concatenate(channels, axis=1)
    pooled = np.concatenate([joined.max(axis=0), joined.mean(axis=0)])
    hidden = finish("embedding", pooled @ arrays["embedding/kernel"])
    logits = hidden @ arrays["tags/kernel"] + arrays["tags/bias"]

    output = Network(arrays)(patch[None])
    np.testing.assert_allclose(output.embedding[0], hidden, atol=2e-4)
    np.testing.assert_allclose(output.logits[0], logits, atol=2e-3)
