"""Log-mel spectrograms of 16 kHz patches, as MusiCNN was trained on.

The package musicnn calls librosa's `melspectrogram` (n_fft 512, hop 256, periodic Hann window, 96 mel bands
of Slaney's scale and normalization, 0 to 8,000 Hz, power) and takes log10(10,000 x + 1). It pads the
recording's ends by reflection; here a patch begins and ends with a whole frame of the recording.
"""

import functools

import librosa.filters
import numpy as np
import scipy.fft

from jobs.musicnn.network import N_FRAMES, N_MELS

SAMPLE_RATE = 16_000
N_FFT = 512
HOP_LENGTH = 256
# Samples of one patch: 3.008 s.
PATCH_SAMPLES = (N_FRAMES - 1) * HOP_LENGTH + N_FFT


@functools.cache
def _filters() -> tuple[np.ndarray, np.ndarray]:
    """Return the window (512,) and the mel filters (257, 96)."""
    mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
    window = librosa.filters.get_window("hann", N_FFT, fftbins=True)
    return window.astype(np.float32), np.ascontiguousarray(mel.T)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the log-mel spectrogram (187, 96), float32, of a patch (PATCH_SAMPLES,) at 16 kHz."""
    window, mel = _filters()
    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP_LENGTH]
    spectrum = scipy.fft.rfft(frames * window, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log10(10_000 * (power @ mel) + 1)
