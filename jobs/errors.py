"""What can go wrong, by who can mend it."""

import errno
import os

from jobs.paths import escape_control_chars, to_path

# What the system says where a disk is full, ill or away, or the machine has no more to give: of no file can that be said.
_SYSTEM_FAULT_ERRNOS = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
        *(errno.ENODEV, errno.ENXIO),
        *(errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE),
    )
)


class InputError(ValueError):
    """Bad arguments or configuration: one line saying what was expected, what was found, what to do (exit 2)."""


class StepError(RuntimeError):
    """A step could not do its work though its input was fine: a full disk, a lost server (exit 1)."""


class UnusableFile(ValueError):
    """One file that cannot be used; its message is the reason stored in REJECTS, and the run goes on."""


def raise_if_system_fault(error: BaseException, path: str) -> None:
    """Raise StepError where the error, or one that it came from, is no fault of the file at `path` but of disk or machine."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and (
            found.errno in _SYSTEM_FAULT_ERRNOS or (found.errno == errno.EIO and _is_ill(path))
        ):
            raise StepError(
                f"expected disk and machine to do their work, found at {escape_control_chars(path)}: {found.strerror}; "
                "see to them, and the same command goes on"
            ) from error
        found = found.__cause__ or found.__context__


def _is_ill(path: str) -> bool:
    """Return whether more than the file at `path` cannot be read: a bad sector costs one file, and must not stop all others."""
    try:
        with os.scandir(os.path.dirname(to_path(path))) as entries:
            next(entries, None)
    except OSError:
        return True
    return False
