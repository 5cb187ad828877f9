"""The three kinds of errors: bad input, a failed step, and a file that cannot be used."""

import errno
import os
import re

from jobs.paths import escape_control_chars, to_path

# errno values that mean that the machine has failed (disk full, read-only or unavailable, out of memory or
# descriptors), never that one file is bad.
_SYSTEM_FAULT_ERRNOS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
    }
)


# A StepError or InputError that was raised on a Spark worker, as it appears in the Java trace.
_WORKER_ERROR = re.compile(r"^jobs\.errors\.(?:StepError|InputError): (.+)$", re.MULTILINE)


class InputError(ValueError):
    """Bad arguments or configuration.

    One line with what was expected, what was found, what to do (exit 2).
    """


class StepError(RuntimeError):
    """A step that could not do its work though its input was fine, as for a full disk or a lost server (exit
    1).
    """


class UnusableFile(ValueError):
    """One file that cannot be used; the message is the reason that REJECTS stores, and the run continues."""


def own_message(error: Exception) -> str:
    """Return the message of a StepError, also of one raised on a Spark worker; "" for any other error."""
    if isinstance(error, StepError):
        return str(error)
    worker_messages = _WORKER_ERROR.findall(str(error))
    return str(worker_messages[-1]) if worker_messages else ""


def raise_if_system_fault(error: BaseException, path: str) -> None:
    """Raise StepError if the error, or one that it was caused by, is a fault of disk or machine.

    Parameters
    ----------
    error
        Met while working on a file.
    path
        That file, as text of `paths.to_text`.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and _is_system_fault(cause, path):
            raise StepError(
                f"expected disk and machine to work, found at {escape_control_chars(path)}: "
                f"{cause.strerror}; "
                "fix that, then re-run the same command to resume"
            ) from error
        cause = cause.__cause__ or cause.__context__


def _is_system_fault(error: OSError, path: str) -> bool:
    if error.errno in _SYSTEM_FAULT_ERRNOS:
        return True
    # A bad sector costs one file and must not stop all others; a dead disk stops the step.
    return error.errno == errno.EIO and not _is_folder_readable(path)


def _is_folder_readable(path: str) -> bool:
    """Return whether the folder of the file at `path` can be listed."""
    try:
        with os.scandir(os.path.dirname(to_path(path))) as entries:
            next(entries, None)
    except OSError:
        return False
    return True
