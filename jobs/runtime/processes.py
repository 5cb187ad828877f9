"""The processes of one machine's services: finding all of them, and ending them.

Every process that is started there, and every process it starts in turn, belongs to supervisord's session or carries
`SEGUE_SERVICES=<lake>` in its environment: so `segue down`, and the next `segue up`, find what a killed supervisord has left.
"""

import os
import signal
from contextlib import suppress

import psutil

from jobs.errors import StepError
from jobs.runtime.supervisor import PROCESS_MARKER, STOP_S, ServiceHome

# A process that began so much later than supervisord was started is another one with its number.
_REUSED_S = 5


def find_processes(home: ServiceHome) -> list[psutil.Process]:
    """Return every process of this lake's services, whoever is its parent now; never this one.

    Airflow's parts write their titles over their environment, so the mark is gone: they are found by their session, which
    is supervisord's whether it still lives or not.
    """
    sessions, marked = _sessions(home), []
    psutil.process_iter.cache_clear()  # what it has kept of a number is wrong once that number is another process's
    everyone = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    for process in everyone:
        with suppress(psutil.Error, OSError):
            if process.environ().get(PROCESS_MARKER) == str(home.lake):
                marked.append(process)
                sessions.add(os.getsid(process.pid))
    sessions.discard(os.getsid(0))
    ours = [process for process in everyone if process in marked or _session(process) in sessions]
    return [process for process in ours if _lives(process)]


def _sessions(home: ServiceHome) -> set[int]:
    """Return the session of the supervisord that was started last, unless its number is another's by now."""
    state = home.state()
    leader, started = state.get("supervisord"), state.get("started", 0)
    if leader is None or started < psutil.boot_time():
        return set()
    with suppress(psutil.NoSuchProcess):
        if psutil.Process(leader).create_time() > started + _REUSED_S:
            return set()
    return {leader}


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended; it waits for its parent to ask how."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _session(process: psutil.Process) -> int | None:
    with suppress(OSError):
        return os.getsid(process.pid)
    return None


def total_pss(home: ServiceHome) -> int:
    """Return the bytes that all services use together, each shared page counted once (PSS)."""
    total = 0
    for process in find_processes(home):
        with suppress(psutil.Error, OSError):
            total += process.memory_full_info().pss
    return total


def stop_all(home: ServiceHome) -> int:
    """End all services within ten seconds, by supervisord where it lives, then whatever is left; return their number."""
    found = find_processes(home)
    supervisors = [p for p in found if p.pid == home.state().get("supervisord")]
    for process in supervisors or found:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    psutil.wait_procs(found, timeout=STOP_S + 0.5)
    left = find_processes(home)
    # By tries, not by the clock: on a machine under load one look over all processes can take seconds.
    for _ in range(20):
        if not left:
            break
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=0.5)
        left = find_processes(home)
    if left:
        raise StepError(
            f"expected all services to end, found process {left[0].pid} still there; kill -9 it by hand"
        )
    (home.folder / "state.json").unlink(missing_ok=True)
    return len(found)
