"""
What can go wrong, by what the caller should do about it.

    MiddlewatchError
    |-- TransientError          the same call may succeed later: Prefect retries it
    `-- PermanentError          the same call will fail again: never retried
        |-- ConfigurationError  the user has to change something: exit code 2
        `-- ObjectError         one log object cannot be read now: the others go on
            `-- OversizedError  it is more than may be read: it is set aside at once

Every message is one sentence that names what, where and what to do, and holds no secret.
"""


class MiddlewatchError(Exception):
    """Base of all errors that Middlewatch raises on purpose."""


class TransientError(MiddlewatchError):
    """The same call may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: int | None = None,
        is_ambiguous: bool = False,
        was_retried: bool = False,
    ) -> None:
        """
        Take what the other side said about the failure.

        Args:
            message: One sentence.
            retry_after_seconds: How long it asked to wait, where it did.
            is_ambiguous: The call may have taken effect although it failed; another one may
                do it twice.
            was_retried: The client has tried it again and again; the next attempt is the next
                run's.
        """
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.is_ambiguous = is_ambiguous
        self.was_retried = was_retried


class PermanentError(MiddlewatchError):
    """The same call will fail again."""


class ConfigurationError(PermanentError):
    """A setting, parameter, credential or rules file has to be changed by the user."""


class ObjectError(PermanentError):
    """One log object cannot be read in this run; a later run tries it again."""


class OversizedError(ObjectError):
    """One log object is more than may be read of one; trying again as it is changes nothing."""
