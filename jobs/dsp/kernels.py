"""Compiled loops over frames, where numpy would create temporaries or read everything several times.

Conventions: frames are the first axis; all statistics of a frame are computed while its spectrum is in the
first cache. Sums are in float64 in any order, which leaves results as exact as float32 can hold them. numba
compiles each function at its first call and caches the machine code on disk (`features.warm_up` does so once,
at set-up).
"""

import numpy as np
from numba import njit

TINY = float(np.finfo(np.float32).tiny)

# Sums may be reordered and NaN is not checked for (signals are checked before): this allows vector
# instructions.
_compiled = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "nnan"})

# Bins that are summed at once while the roll-off is searched, and compared at once while the maximum is.
_STRIDE = 32

# float32, as librosa compares: a fifth of a frame's sum is not more than 0.2.
_CENS_STEPS = np.array([0.4, 0.2, 0.1, 0.05], np.float32)


@_compiled
def frame_and_window(samples: np.ndarray, hop: int, window: np.ndarray, frames: np.ndarray) -> None:
    """Fill frames (count, samples), float64, `hop` samples apart, each multiplied by the window."""
    for frame in range(len(frames)):
        for k in range(window.size):
            frames[frame, k] = samples[frame * hop + k] * window[k]


@_compiled
def frame_statistics(
    spectrum: np.ndarray, roll: float, magnitude: np.ndarray, power: np.ndarray, stats: np.ndarray
) -> None:
    """Fill M, M^2 and the statistics of each frame from its complex spectrum.

    Parameters
    ----------
    spectrum : (frames, bins)
    roll
        Fraction of the sum of M that lies at or below the roll-off.
    magnitude : (frames, bins)
        Output: M.
    power : (frames, bins)
        Output: M^2.
    stats : (frames, 4)
        Output: the sum of M^2 over both halves of the spectrum; centroid, bandwidth and roll-off in bins.
    """
    for frame in range(len(spectrum)):
        _magnitudes(spectrum[frame], magnitude[frame], power[frame])
        _spectral_moments(magnitude[frame], power[frame], roll, stats[frame])


@_compiled
def _magnitudes(spectrum: np.ndarray, magnitude: np.ndarray, power: np.ndarray) -> None:
    for k in range(spectrum.size):
        m = np.float32(np.sqrt(spectrum[k].real ** 2 + spectrum[k].imag ** 2))
        magnitude[k], power[k] = m, m * m


@_compiled
def power(spectrum: np.ndarray, result: np.ndarray) -> None:
    """Fill the power (frames, bins), float32, of a complex spectrum of the same shape."""
    for frame in range(len(spectrum)):
        for k in range(spectrum.shape[1]):
            result[frame, k] = np.float32(spectrum[frame, k].real ** 2 + spectrum[frame, k].imag ** 2)


@_compiled
def _spectral_moments(magnitude: np.ndarray, power: np.ndarray, roll: float, stats: np.ndarray) -> None:
    # float64 throughout: the bandwidth is the root of E[b^2] - E[b]^2.
    total = first = second = energy = 0.0
    for k in range(magnitude.size):
        m, b = np.float64(magnitude[k]), np.float64(k)
        total += m
        first += b * m
        second += b * b * m
        energy += np.float64(power[k])
    centroid = first / max(total, TINY)
    stats[0] = 2 * energy - power[0] - power[-1]
    stats[1] = centroid
    stats[2] = np.sqrt(max(second / max(total, TINY) - centroid * centroid, 0.0))
    stats[3] = _rolloff(magnitude, roll * total)


@_compiled
def _rolloff(magnitude: np.ndarray, target: float) -> int:
    below, k = 0.0, 0
    while k + _STRIDE <= magnitude.size:
        part = 0.0
        for j in range(k, k + _STRIDE):
            part += np.float64(magnitude[j])
        if below + part >= target:
            break
        below, k = below + part, k + _STRIDE
    while k < magnitude.size - 1:
        below += np.float64(magnitude[k])
        if below >= target:
            break
        k += 1
    return k


@_compiled
def piptrack(levels: np.ndarray, first: int, end: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the fractional bins and the levels of all frames' maxima, by a parabola through three bins.

    Parameters
    ----------
    levels : (frames, bins)
        M or M^2.
    first
        First bin that may be a maximum.
    end
        Bin after the last one that may be.
    threshold
        Fraction of the frame's largest level that a maximum must exceed.

    Returns
    -------
    bins (n,) and levels (n,), float32, of the maxima of all frames.
    """
    bins, heights = np.empty(levels.size // 2 + 1, np.float32), np.empty(levels.size // 2 + 1, np.float32)
    count = 0
    for frame in range(len(levels)):
        level = levels[frame]
        loud = np.float32(threshold) * _largest(level)
        for k in range(first, end):
            b = level[k]
            if b > loud and b > level[k - 1] and b >= level[k + 1]:
                a, c = np.float64(level[k - 1]), np.float64(level[k + 1])
                shift = 0.5 * (a - c) / (a + c - 2 * np.float64(b))
                bins[count], heights[count] = k + shift, b + 0.25 * (c - a) * shift
                count += 1
    return bins[:count].copy(), heights[:count].copy()


@_compiled
def _largest(values: np.ndarray) -> float:
    # In parallel lanes, because every step of a single running maximum waits for the step before.
    lanes = np.zeros(_STRIDE, np.float32)
    whole = values.size // _STRIDE * _STRIDE
    for start in range(0, whole, _STRIDE):
        for j in range(_STRIDE):
            lanes[j] = max(lanes[j], values[start + j])
    largest = lanes.max()
    for value in values[whole:]:
        largest = max(largest, value)
    return largest


@_compiled
def fold_octaves(response: np.ndarray, first: int, chroma: np.ndarray) -> None:
    """Add the magnitudes of a constant-Q response to the pitch classes.

    Parameters
    ----------
    response : (frames, 2 n)
        n real parts, then n imaginary parts.
    first
        Number of the response's first bin; bin 0 is a C.
    chroma : (frames, 12)
        Added to in place.
    """
    count = response.shape[1] // 2
    for frame in range(len(response)):
        for k in range(count):
            real, imaginary = np.float64(response[frame, k]), np.float64(response[frame, count + k])
            chroma[frame, (first + k) % 12] += np.sqrt(real * real + imaginary * imaginary)


@_compiled
def normalize_max(chroma: np.ndarray) -> np.ndarray:
    """Return each frame of a chroma (frames, 12) divided by its largest value; a silent frame stays 0."""
    result = np.empty_like(chroma)
    for frame in range(len(chroma)):
        largest = 0.0
        for value in chroma[frame]:
            largest = max(largest, float(value))
        if largest < TINY:
            largest = 1.0
        for k in range(chroma.shape[1]):
            result[frame, k] = chroma[frame, k] / largest
    return result


@_compiled
def normalize_sum(chroma: np.ndarray) -> np.ndarray:
    """Return each frame of a chroma (frames, 12) divided by its sum of magnitudes; a silent frame stays 0."""
    result = np.empty_like(chroma)
    for frame in range(len(chroma)):
        total = 0.0
        for value in chroma[frame]:
            total += abs(float(value))
        if total < TINY:
            total = 1.0
        for k in range(chroma.shape[1]):
            result[frame, k] = chroma[frame, k] / total
    return result


@_compiled
def cens_quantize(chroma: np.ndarray) -> np.ndarray:
    """Return a chroma (frames, 12) quantized to 0..4, uint8.

    The value is how many of 0.4, 0.2, 0.1, 0.05 the pitch class's fraction of the frame's sum exceeds.
    """
    fractions = normalize_sum(chroma)
    result = np.zeros(fractions.shape, np.uint8)
    for frame in range(len(fractions)):
        for k in range(fractions.shape[1]):
            for step in _CENS_STEPS:
                result[frame, k] += fractions[frame, k] > step
    return result


@_compiled
def cens_smooth(chroma: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return a quantized chroma (frames, 12) smoothed over time, each frame divided by its Euclidean norm,
    float32.

    The window has an odd length; beyond both ends the chroma is 0.
    """
    frames, classes = chroma.shape
    half = window.size // 2
    result = np.empty((frames, classes), np.float32)
    for frame in range(frames):
        smooth = np.zeros(classes)
        for neighbour in range(max(frame - half, 0), min(frame + half + 1, frames)):
            for k in range(classes):
                smooth[k] += window[neighbour - frame + half] * chroma[neighbour, k]
        length = np.sqrt((smooth * smooth).sum())
        for k in range(classes):
            result[frame, k] = smooth[k] / length if length >= TINY else smooth[k]
    return result


@_compiled
def moments(row: np.ndarray) -> tuple[float, float, float, float, float, float]:
    """Return smallest, largest, mean, and the second to fourth central moments of a row (frames,)."""
    low, high, total = np.float64(row[0]), np.float64(row[0]), 0.0
    for value in row:
        v = np.float64(value)
        low, high, total = min(low, v), max(high, v), total + v
    mean = total / row.size
    second = third = fourth = 0.0
    for value in row:
        d = np.float64(value) - mean
        second += d * d
        third += d * d * d
        fourth += d * d * d * d
    return low, high, mean, second / row.size, third / row.size, fourth / row.size


@_compiled
def harmonic_share(bands: np.ndarray, frames: int, neighbours: int) -> np.ndarray:
    """Return H^2 / (H^2 + P^2) of each frame and band, float32; 0.5 where both are 0.

    H is the median over time, P the median over frequency; at the edges the first and last values repeat.

    Parameters
    ----------
    bands : (frames, bands)
        Magnitudes, at least one frame.
    frames
        Odd number of frames of H.
    neighbours
        Odd number of bands of P.
    """
    n_frames, n_bands = bands.shape
    share = np.empty((n_frames, n_bands), np.float32)
    across_time, across_bands = np.empty(frames, np.float32), np.empty(neighbours, np.float32)
    for t in range(n_frames):
        for k in range(n_bands):
            for offset in range(frames):
                near = min(max(t + offset - frames // 2, 0), n_frames - 1)
                _insert(across_time, offset, bands[near, k])
            for offset in range(neighbours):
                near = min(max(k + offset - neighbours // 2, 0), n_bands - 1)
                _insert(across_bands, offset, bands[t, near])
            lasting = np.float64(across_time[frames // 2]) ** 2
            striking = np.float64(across_bands[neighbours // 2]) ** 2
            total = lasting + striking
            share[t, k] = lasting / total if total > 0 else 0.5
    return share


@_compiled
def _insert(ordered: np.ndarray, count: int, value: float) -> None:
    """Insert a value into the `count` smallest-first values at the start of `ordered`."""
    place = count
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value
