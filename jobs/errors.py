"""What can go wrong, by who can mend it."""


class InputError(ValueError):
    """Bad arguments or configuration: one line saying what was expected, what was found, what to do (exit 2)."""


class StepError(RuntimeError):
    """A step could not do its work though its input was fine: a full disk, a lost server (exit 1)."""


class BadFile(ValueError):
    """One file that cannot be used; its message is the reason stored in REJECTS, and the run goes on."""
