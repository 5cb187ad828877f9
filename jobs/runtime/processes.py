"""The processes of one lake's services: find, measure, stop.

Every service, and every process it starts, belongs to supervisord's session or has `SEGUE_SERVICES=<lake>` in
its environment. So `segue down` and the next `segue up` find the processes that a killed supervisord has
left.
"""

import os
import signal
from contextlib import suppress

import psutil

from jobs.errors import StepError
from jobs.runtime.supervisor import PROCESS_MARKER, STOP_LIMIT_S, ServiceHome

# A process that began this much later than supervisord has only reused its process id.
_MAX_START_DELAY_S = 5

# Rounds of kill -9, half a second each. Rounds and not a time limit: on a machine under load one pass over
# all processes can take seconds.
_MAX_KILL_ROUNDS = 20


def find_processes(home: ServiceHome) -> list[psutil.Process]:
    """Return every living process of this lake's services, whoever is its parent now; not the calling
    process.

    Airflow's processes write their titles over their environment, so the marker is gone: they are found by
    their session, which is supervisord's, whether supervisord still lives or not.
    """
    psutil.process_iter.cache_clear()  # a cached entry may describe the previous owner of a process id
    processes = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    sessions = _supervisor_session(home)
    marked = []
    for process in processes:
        with suppress(psutil.Error, OSError):
            if process.environ().get(PROCESS_MARKER) == str(home.lake):
                marked.append(process)
                sessions.add(os.getsid(process.pid))
    sessions.discard(os.getsid(0))
    services = [process for process in processes if process in marked or _session(process) in sessions]
    return [process for process in services if _is_alive(process)]


def _supervisor_session(home: ServiceHome) -> set[int]:
    """Return the session of the supervisord started last; empty if another process has its id now."""
    state = home.state()
    leader = state.get("supervisord")
    started = state.get("started", 0)
    if leader is None or started < psutil.boot_time():
        return set()
    with suppress(psutil.NoSuchProcess):
        if psutil.Process(leader).create_time() > started + _MAX_START_DELAY_S:
            return set()
    return {leader}


def _is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _session(process: psutil.Process) -> int | None:
    with suppress(OSError):
        return os.getsid(process.pid)
    return None


def total_pss(home: ServiceHome) -> int:
    """Return the memory of all services in bytes, each shared page counted once (PSS).

    macOS does not know that number: there it is the memory that belongs to one process alone (USS).
    """
    total = 0
    for process in find_processes(home):
        with suppress(psutil.Error, OSError):
            memory = process.memory_full_info()
            total += memory.pss if hasattr(memory, "pss") else memory.uss
    return total


def stop_all(home: ServiceHome) -> int:
    """Stop all services and return how many processes there were.

    SIGTERM goes to supervisord, or to every process without it; after `STOP_LIMIT_S` the rest is killed.

    Raises
    ------
    StepError
        A process survives.
    """
    processes = find_processes(home)
    supervisors = [process for process in processes if process.pid == home.state().get("supervisord")]
    for process in supervisors or processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    psutil.wait_procs(processes, timeout=STOP_LIMIT_S + 0.5)
    remaining = find_processes(home)
    for _ in range(_MAX_KILL_ROUNDS):
        if not remaining:
            break
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remaining, timeout=0.5)
        remaining = find_processes(home)
    if remaining:
        raise StepError(
            f"expected all services to end, found process {remaining[0].pid} still running; "
            f"stop it with kill -9"
        )
    (home.folder / "state.json").unlink(missing_ok=True)
    return len(processes)
