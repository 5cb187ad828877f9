"""Measure the peak memory of a Spark driver's processes, by role."""

import threading
from collections import defaultdict
from pathlib import Path

import psutil

MIB = 2**20

# Roles by depth below the driver's JVM: Spark's daemon, the workers that it forks, the programs that a worker
# starts.
_BELOW_JVM = ("Spark's Python daemon", "each Python worker", "each FFmpeg")
_BELOW_DRIVER = ("each process of the bare pool", "each FFmpeg")
TOTAL = "all of Spark at one time"
ROLES = ("driver Python", "driver JVM", *_BELOW_JVM, TOTAL, _BELOW_DRIVER[0])


class Peaks:
    """Sample a process and its descendants every `every_s` seconds while the block runs; `table()` has the
    result.

    RSS is the kernel's high-water mark (VmHWM), so a peak between two samples counts. PSS, which divides a
    shared page among the processes that hold it, is the largest sample.
    """

    def __init__(self, pid: int, every_s: float = 1.0) -> None:
        self._root, self._every_s = psutil.Process(pid), every_s
        self._rss: dict[str, dict[int, int]] = defaultdict(dict)
        self._pss: dict[str, int] = defaultdict(int)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def table(self) -> dict[str, dict[str, float]]:
        """Return per role the largest RSS and PSS in MiB (NaN if unknown) and the number of processes."""
        peaks = {
            role: {
                "rss": max(rss_by_pid.values()) / MIB,
                "pss": self._pss[role] / MIB,
                "processes": len(rss_by_pid),
            }
            for role, rss_by_pid in self._rss.items()
        }
        peaks[TOTAL] = {"rss": float("nan"), "pss": self._pss[TOTAL] / MIB, "processes": float("nan")}
        return peaks

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._sample()
            except psutil.NoSuchProcess:
                return

    def _sample(self) -> None:
        processes = {process.pid: process for process in (self._root, *self._root.children(recursive=True))}
        total_pss = 0
        for pid, process in processes.items():
            try:
                role, in_spark = _role(process, processes)
                pss, rss = process.memory_full_info().pss, _high_water(pid)
            except (psutil.Error, OSError, StopIteration):  # it has ended meanwhile
                continue
            self._rss[role][pid] = max(rss, self._rss[role].get(pid, 0))
            self._pss[role] = max(pss, self._pss[role])
            total_pss += pss if in_spark else 0
        self._pss[TOTAL] = max(total_pss, self._pss[TOTAL])


def _role(process: psutil.Process, tree: dict[int, psutil.Process]) -> tuple[str, bool]:
    """Return the role of a process of the tree, and whether it is one of Spark's."""
    depth = 0
    parent = process
    while parent.name() != "java" and parent.ppid() in tree:
        depth += 1
        parent = tree[parent.ppid()]
    if parent.name() == "java":
        return ("driver JVM", *_BELOW_JVM)[min(depth, 3)], True
    return ("driver Python", *_BELOW_DRIVER)[min(depth, 2)], depth == 0


def _high_water(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
