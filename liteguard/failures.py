"""Why a request failed, and what to do about it."""

from __future__ import annotations

import errno
import socket
from http.client import HTTPException, RemoteDisconnected

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from liteguard.errors import TransportError, TransportTimeout

_CUT_OFF = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
_MOST_CAUSES = 20
_TELLING = (OSError, HTTPException, HTTPError, ValueError, RuntimeError)
_TIMEOUTS = (requests.Timeout, ReadTimeoutError, socket.timeout, TimeoutError)

_CURES = {
    errno.EMFILE: "raise this process's limit of open files: RLIMIT_NOFILE, which is "
    "ulimit -n of a shell and LimitNOFILE= of systemd",
    errno.ENFILE: "raise the machine's limit of open files: fs.file-max of sysctl",
}
_USUAL_CURE = "check LITEGUARD_BACKEND_URL, the network and the proxy settings"


def explained(error: Exception, host: str, timeout_seconds: float) -> TransportError:
    """Return what to raise for a request that failed.

    Args:
        error: What was raised.
        host: The backend's name and port.
        timeout_seconds: How long the request might take.
    """
    causes = _causes(error)
    if any(isinstance(cause, _TIMEOUTS) for cause in causes):
        return TransportTimeout(
            f"no answer from {host} within {timeout_seconds:g} s: "
            "check LITEGUARD_BACKEND_URL and the network"
        )
    # The outer causes repeat the innermost in three forms.
    cause = [known for known in causes if isinstance(known, _TELLING)][-1]
    reason = str(cause) or type(cause).__name__
    cure = _CURES.get(getattr(cause, "errno", None) or 0, _USUAL_CURE)
    return TransportError(f"cannot reach {host} ({reason}): {cure}")


def is_cut_off(error: Exception) -> bool:
    """Whether the connection ended before a word of an answer had come."""
    return any(isinstance(cause, _CUT_OFF) for cause in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """Return *error* and what led to it, innermost last."""
    causes = [error]
    while len(causes) < _MOST_CAUSES:
        cause = causes[-1].__cause__ or causes[-1].__context__
        if cause is None:
            break
        causes.append(cause)
    return causes
