"""The picture of one recording: what it sounds like over time, and how fast."""

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

# A picture is no wider than this; hours of frames are averaged into as many columns.
MAX_COLUMNS = 1_600

_NOTES = ("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B")
_INK, _MARK = "#31688e", "#d1495b"


class _Spectrogram(Mel):
    """The mel spectrum averaged into columns, and the onset strength."""

    def __init__(self, bank: spectral.FilterBank, frames: int) -> None:
        super().__init__(bank)
        self._of = np.arange(frames) * min(MAX_COLUMNS, frames) // frames
        self._power = np.zeros((self._of[-1] + 1, bank.mel.shape[0]))
        self._first_reading, self._seen = True, 0

    def add_frames(self, segment: Segment) -> None:
        super().add_frames(segment)
        if self._first_reading:
            power = (self.bank.mel @ segment.power.T).T
            np.add.at(self._power, self._of[self._seen : self._seen + len(power)], power)
            self._seen += len(power)

    def end_pass(self) -> None:
        super().end_pass()
        self._first_reading = False

    def result(self) -> FeatureMap:
        strength = self.rows.column(spectral.N_MFCC)
        power = self._power / np.bincount(self._of)[:, np.newaxis]
        return {"mel": spectral.power_to_db(power.astype(np.float32)).T, "strength": strength}


class _Chromagram(ConstantQHarmony):
    """The constant-Q chroma averaged into columns."""

    def result(self) -> FeatureMap:
        self.flush_pending()
        rows = np.stack(list(self.rows.columns(N_CHROMA)))
        return {"chroma": average_pool(rows, MAX_COLUMNS)}


def average_pool(rows: np.ndarray, columns: int) -> np.ndarray:
    """Return rows (n, frames) averaged into at most `columns` columns."""
    frames = rows.shape[1]
    starts = np.arange(min(columns, frames)) * frames // min(columns, frames)
    return np.add.reduceat(rows, starts, axis=1) / np.diff(starts, append=frames)


def plot_file(
    path: str, found: dict[str, dict[str, Any]], *, duration_s: float, sample_rate: int, out: Path
) -> None:
    """Draw the file's mel spectrogram, chroma, onset strength and tempogram into `out`, whole or not at all."""
    frames = 1 + round(duration_s * sample_rate) // HOP_LENGTH
    groups: list[Callable[[spectral.FilterBank], Any]] = [partial(_Spectrogram, frames=frames), _Chromagram]
    seen = features.extract_groups(decoding.open_audio(path).blocks, sample_rate=sample_rate, groups=groups)
    title = f"{os.path.basename(path)}  ·  {_clock(duration_s)}  ·  {sample_rate:,} Hz"
    figure = plot(seen, found["descriptors"], title=title, duration_s=duration_s, sample_rate=sample_rate)
    unfinished = out.with_name(f".{os.getpid()}-{out.name}")
    try:
        figure.savefig(unfinished)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def plot(
    seen: FeatureMap, descriptors: dict[str, list[float]], *, title: str, duration_s: float, sample_rate: int
) -> matplotlib.figure.Figure:
    """Return the figure of a mel spectrogram (bands, columns), chroma (12, columns) and onset strength (frames,)."""
    figure = matplotlib.figure.Figure(figsize=(12, 9), dpi=120, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", parse_math=False)
    mel, chroma, onsets, tempo = figure.subplots(4, 1, height_ratios=[3, 2, 1.2, 1.4])
    _draw_mel(figure, mel, seen["mel"], duration_s, sample_rate)
    _draw_chroma(figure, chroma, seen["chroma"], descriptors, duration_s)
    _draw_onsets(onsets, seen["strength"], descriptors, duration_s)
    _draw_tempo(tempo, descriptors)
    for axes in (mel, chroma, onsets):
        axes.set_xlim(0, duration_s)
        axes.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds))
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
    key, strength = tonality.KEYS[int(descriptors["key"][0])], descriptors["key_strength"][0]
    axes.set_title(f"Constant-Q chroma: {key}, strength {strength:.2f}", loc="left", fontsize=10)
    figure.colorbar(image, ax=axes, pad=0.01, label="of the loudest")


def _draw_onsets(axes: Axes, strength: np.ndarray, descriptors: Any, duration_s: float) -> None:
    # The largest of each column: an average would hide the onsets of a long recording.
    starts = np.arange(min(MAX_COLUMNS, strength.size)) * strength.size // min(MAX_COLUMNS, strength.size)
    axes.fill_between(
        starts / strength.size * duration_s, np.maximum.reduceat(strength, starts), color=_INK, lw=0
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("dB")
    axes.set_title(
        f"Onset strength: {descriptors['onset_density'][0]:.1f} onsets per second", loc="left", fontsize=10
    )


def _draw_tempo(axes: Axes, descriptors: Any) -> None:
    tempi = rhythm.MIN_BPM * (rhythm.MAX_BPM / rhythm.MIN_BPM) ** (
        (np.arange(rhythm.TEMPOGRAM_BPMS) + 0.5) / rhythm.TEMPOGRAM_BPMS
    )
    tempo = descriptors["tempo"][0]
    axes.plot(tempi, descriptors["tempogram"], color=_INK)
    axes.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    if tempo:
        axes.axvline(tempo, color=_MARK, ls="--", lw=1.2)
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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
