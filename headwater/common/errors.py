# SPDX-License-Identifier: Apache-2.0
"""Errors by meaning.

Nothing here knows HTTP: the borders (`api_proxy.faults`, `cmd.manage`) translate each class once.
The text of every error is a full sentence for the person who has to act on it.
"""


class HeadwaterError(Exception):
    """Base of every error that headwater raises on purpose."""


class ConfigurationError(HeadwaterError):
    """A configured value cannot work; the text names option, value and reason."""


class EndpointFileError(ConfigurationError):
    """An endpoint file is wrong; the text names file, key and reason."""

    def __init__(self, file: str, key: str, reason: str):
        self.file, self.key, self.reason = file, key, reason
        super().__init__(f"{file}: {key}: {reason}")


class NotFound(HeadwaterError):
    """What was asked for does not exist."""


class Conflict(HeadwaterError):
    """The wish contradicts the present state, such as a name that is taken."""


class Outdated(Conflict):
    """The wish was made for a state that somebody else has changed since."""


class InvalidInput(HeadwaterError):
    """A value that was given is not acceptable; the text says which and why."""


class DatabaseUnavailable(HeadwaterError):
    """The database cannot be reached or written now; the same call may succeed later."""


class DatabaseFailed(HeadwaterError):
    """The database refused a statement, and would again; the text has none of its values."""


class LeaseLost(HeadwaterError):
    """The lane belongs to another worker by now; whoever gets this may write nothing more."""


class SecretUnreadable(HeadwaterError):
    """No key of the key directory decrypts a stored value."""


class ExchangeError(HeadwaterError):
    """An HTTP exchange with another party did not end with an answer."""


class NotSent(ExchangeError):
    """The connection could not be made: the other side has certainly seen nothing."""


class NoAnswer(ExchangeError):
    """Sent at least in part, and no complete answer came: the effect is unknown."""


class DeadlineExceeded(NoAnswer):
    """No answer within the deadline: its effect is unknown."""


class Unreachable(ExchangeError):
    """A cloud does not answer, or answers that it cannot serve anybody now.

    `retry_after` is the wait in seconds that it asked for, if it did.
    """

    def __init__(self, message: str, retry_after: float | None = None):
        self.retry_after = retry_after
        super().__init__(message)


class LoginRefused(ExchangeError):
    """A cloud refuses the credentials that are configured for it."""


class NoEndpoint(ExchangeError):
    """The catalog of a cloud does not offer the service where it is expected."""
