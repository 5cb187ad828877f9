"""A plot of one recording: mel spectrogram, chroma and onsets over time, and the tempogram."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import librosa
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from jobs.audio import decoding
from jobs.dsp import features, rhythm, spectral, tonality
from jobs.dsp.accumulators import FeatureMap, Segment
from jobs.dsp.harmony import ConstantQHarmony
from jobs.dsp.spectral import HOP_LENGTH, N_CHROMA
from jobs.dsp.timbre import Mel
from jobs.paths import atomic_write

# Maximum width of an image in columns; the frames of long recordings are averaged into columns.
MAX_COLUMNS = 1_600

_NOTES = ("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B")
_LINE_COLOUR = "#31688e"
_MARKER_COLOUR = "#d1495b"


class _Spectrogram(Mel):
    """The mel spectrum averaged into columns, and the onset strength."""

    def __init__(self, bank: spectral.FilterBank, n_frames: int) -> None:
        super().__init__(bank)
        self._column_of_frame = np.arange(n_frames) * min(MAX_COLUMNS, n_frames) // n_frames
        self._power_sum = np.zeros((self._column_of_frame[-1] + 1, bank.mel.shape[0]))
        self._is_first_pass = True
        self._n_summed = 0

    def add_frames(self, segment: Segment) -> None:
        super().add_frames(segment)
        if self._is_first_pass:
            power = (self.bank.mel @ segment.power.T).T
            columns = self._column_of_frame[self._n_summed : self._n_summed + len(power)]
            np.add.at(self._power_sum, columns, power)
            self._n_summed += len(power)

    def end_pass(self) -> None:
        super().end_pass()
        self._is_first_pass = False

    def result(self) -> FeatureMap:
        strength = self.rows.column(spectral.N_MFCC)
        power = self._power_sum / np.bincount(self._column_of_frame)[:, np.newaxis]
        return {"mel": spectral.power_to_db(power.astype(np.float32)).T, "strength": strength}


class _Chromagram(ConstantQHarmony):
    """The constant-Q chroma averaged into columns."""

    def result(self) -> FeatureMap:
        self.flush_pending()
        rows = np.stack(list(self.rows.columns(N_CHROMA)))
        return {"chroma": average_pool(rows, MAX_COLUMNS)}


def average_pool(rows: np.ndarray, columns: int) -> np.ndarray:
    """Return rows (n, frames) averaged into at most `columns` columns."""
    n_frames = rows.shape[1]
    starts = _column_starts(n_frames, columns)
    return np.add.reduceat(rows, starts, axis=1) / np.diff(starts, append=n_frames)


def _column_starts(n_frames: int, max_columns: int) -> np.ndarray:
    """Return the first frame of each column, (columns,)."""
    n_columns = min(max_columns, n_frames)
    return np.arange(n_columns) * n_frames // n_columns


def plot_file(
    path: str, nested: dict[str, dict[str, Any]], *, duration_s: float, sample_rate: int, out: Path
) -> None:
    """Plot the file's mel spectrogram, chroma, onset strength and tempogram to `out`, completely or not at
    all.

    Parameters
    ----------
    path
        The audio file.
    nested
        Its features, as `describe.to_nested` returns them.
    duration_s
        Its length, seconds.
    sample_rate
        Hz.
    out
        The image to write; its extension gives the format.
    """
    n_frames = 1 + round(duration_s * sample_rate) // HOP_LENGTH
    groups: list[Callable[[spectral.FilterBank], Any]] = [
        partial(_Spectrogram, n_frames=n_frames),
        _Chromagram,
    ]
    frames = features.extract_groups(decoding.open_audio(path).blocks, sample_rate=sample_rate, groups=groups)
    title = f"{os.path.basename(path)}  ·  {_format_duration(duration_s)}  ·  {sample_rate:,} Hz"
    figure = plot(frames, nested["descriptors"], title=title, duration_s=duration_s, sample_rate=sample_rate)
    atomic_write(out, lambda file: figure.savefig(file, format=out.suffix.lower().removeprefix(".")))


def plot(
    frames: FeatureMap,
    descriptors: dict[str, list[float]],
    *,
    title: str,
    duration_s: float,
    sample_rate: int,
) -> matplotlib.figure.Figure:
    """Return the figure.

    Parameters
    ----------
    frames
        Mel spectrogram `mel` (bands, columns), `chroma` (12, columns), onset strength `strength` (frames,).
    descriptors
        Of the recording, as `describe.to_nested` returns them.
    title
        Shown above the figure.
    duration_s
        Length of the recording, seconds.
    sample_rate
        Hz.
    """
    figure = matplotlib.figure.Figure(figsize=(12, 9), dpi=120, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", parse_math=False)
    mel, chroma, onsets, tempo = figure.subplots(4, 1, height_ratios=[3, 2, 1.2, 1.4])
    _draw_mel(figure, mel, frames["mel"], duration_s, sample_rate)
    _draw_chroma(figure, chroma, frames["chroma"], descriptors, duration_s)
    _draw_onsets(onsets, frames["strength"], descriptors, duration_s)
    _draw_tempo(tempo, descriptors)
    for axes in (mel, chroma, onsets):
        axes.set_xlim(0, duration_s)
        axes.xaxis.set_major_formatter(lambda seconds, _: _format_duration(seconds))
        axes.tick_params(labelbottom=axes is onsets)
    return figure


def _draw_mel(figure: Any, axes: Axes, mel: np.ndarray, duration_s: float, sample_rate: int) -> None:
    top = float(mel.max())
    edges = librosa.mel_frequencies(n_mels=len(mel) + 2, fmin=0, fmax=sample_rate / 2)[1:-1]
    image = axes.imshow(
        mel - top,
        aspect="auto",
        origin="lower",
        cmap="magma",
        vmin=-80,
        vmax=0,
        extent=(0, duration_s, -0.5, len(mel) - 0.5),
        interpolation="nearest",
    )
    ticks = [f for f in (250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000) if f < edges[-1]]
    labels = [f"{f / 1000:g} kHz" if f >= 1_000 else f"{f} Hz" for f in ticks]
    axes.set_yticks(np.interp(ticks, edges, np.arange(len(mel))), labels)
    axes.set_title("Mel spectrogram", loc="left", fontsize=10)
    figure.colorbar(image, ax=axes, pad=0.01, label="dB")


def _draw_chroma(figure: Any, axes: Axes, chroma: np.ndarray, descriptors: Any, duration_s: float) -> None:
    image = axes.imshow(
        chroma,
        aspect="auto",
        origin="lower",
        cmap="viridis",
        vmin=0,
        vmax=1,
        extent=(0, duration_s, -0.5, N_CHROMA - 0.5),
        interpolation="nearest",
    )
    axes.set_yticks(range(N_CHROMA), _NOTES)
    key = tonality.KEYS[int(descriptors["key"][0])]
    strength = descriptors["key_strength"][0]
    axes.set_title(f"Constant-Q chroma: {key}, strength {strength:.2f}", loc="left", fontsize=10)
    figure.colorbar(image, ax=axes, pad=0.01, label="fraction of the loudest")


def _draw_onsets(axes: Axes, strength: np.ndarray, descriptors: Any, duration_s: float) -> None:
    # The maximum of each column: an average would hide the onsets of a long recording.
    starts = _column_starts(strength.size, MAX_COLUMNS)
    times = starts / strength.size * duration_s
    axes.fill_between(times, np.maximum.reduceat(strength, starts), color=_LINE_COLOUR, lw=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("dB")
    axes.set_title(
        f"Onset strength: {descriptors['onset_density'][0]:.1f} onsets per second", loc="left", fontsize=10
    )


def _draw_tempo(axes: Axes, descriptors: Any) -> None:
    positions = (np.arange(rhythm.TEMPOGRAM_BPMS) + 0.5) / rhythm.TEMPOGRAM_BPMS
    tempi = rhythm.MIN_BPM * (rhythm.MAX_BPM / rhythm.MIN_BPM) ** positions
    tempo = descriptors["tempo"][0]
    axes.plot(tempi, descriptors["tempogram"], color=_LINE_COLOUR)
    axes.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    if tempo:
        axes.axvline(tempo, color=_MARKER_COLOUR, ls="--", lw=1.2)
    axes.set_xscale("log")
    axes.set_xlim(rhythm.MIN_BPM, rhythm.MAX_BPM)
    ticks = (30, 40, 60, 80, 100, 120, 140, 160, 200, 240, 300)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("beats per minute")
    axes.set_ylabel("autocorrelation")
    axes.set_title(
        f"Tempo: {tempo:.1f} beats per minute" if tempo else "Tempo: none", loc="left", fontsize=10
    )


def _format_duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"
