"""What can go wrong, as one tree.

LiteguardError
├── ConfigurationError    the programmer passed something wrong (also a ValueError)
├── TransportError        the backend could not be asked
│   ├── TransportTimeout  it did not answer within the deadline
│   └── TransportRejected it answered with an error status
├── BundleError           what arrived is no bundle, or one guard of it is no guard
├── SnapshotError         what lies on disk is no snapshot of ours
├── StateFolderError      the state folder cannot be used
└── NotReadyError         start(strict=True) ended without a bundle
"""

from __future__ import annotations

from typing import Optional


class LiteguardError(Exception):
    """Base of every exception that this package raises on purpose."""


class ConfigurationError(LiteguardError, ValueError):
    """The caller passed something that cannot work; the message says what to do.

    Args:
        message: What is wrong and what would be right.
        field: Name of the option or argument at fault, if one is.
    """

    def __init__(self, message: str, *, field: Optional[str] = None) -> None:
        super().__init__(message)
        self.field = field


class TransportError(LiteguardError):
    """The backend could not be reached or its answer could not be used."""


class TransportTimeout(TransportError):
    """The backend did not answer within the deadline."""


class TransportRejected(TransportError):
    """The backend answered with an error status.

    Args:
        message: Status and what it means here.
        status_code: The HTTP status.
        retry_after_seconds: What the backend asked for in ``Retry-After``, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        retry_after_seconds: Optional[float] = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after_seconds = retry_after_seconds


class BundleError(LiteguardError):
    """Bytes that should be a bundle, or one guard of it, are not.

    Args:
        message: What was found instead.
        field: Name of the offending field, if one can be named.
    """

    def __init__(self, message: str, *, field: Optional[str] = None) -> None:
        super().__init__(message)
        self.field = field


class SnapshotError(LiteguardError):
    """A snapshot file is torn, forged, foreign or of an unknown format.

    Args:
        message: Why it was refused.
        path: The file.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class StateFolderError(LiteguardError):
    """No folder can be shared safely by the processes of this host.

    Args:
        message: Each candidate and why it was refused.
    """


class NotReadyError(LiteguardError):
    """``start(strict=True)`` reached its deadline without any bundle."""
