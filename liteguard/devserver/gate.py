"""The password of the management API, and the sessions of browsers that gave it."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from typing import Optional

from liteguard.devserver.problems import RequestProblem

SESSION_SECONDS = 12 * 3600
MOST_SESSIONS = 1000
MOST_FAILURES = 10
MOST_ADDRESSES = 10_000
FAILURE_SECONDS = 60.0


class Gate:
    """Knows whether a caller has given the password. Safe to share between threads.

    Args:
        password: What to ask for; ``None`` lets everybody in who is on this machine.
    """

    def __init__(self, password: Optional[str] = None) -> None:
        self._password = password
        self._lock = threading.Lock()  # guards what follows
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def asks_for_password(self) -> bool:
        """Whether there is a password to give."""
        return self._password is not None

    def open_session(self, password: str, address: str) -> str:
        """Return a new session's secret for the right password.

        Args:
            password: What was given.
            address: Where the caller is; who guesses makes nobody else wait.

        Raises:
            RequestProblem: 401 for a wrong password, 429 after too many of them.
        """
        self.check_password(password, address)
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[session] = time.monotonic() + SESSION_SECONDS
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def close_session(self, session: str) -> None:
        """Forget a session, if it is known."""
        with self._lock:
            self._sessions.pop(session, None)

    def is_open_to(self, session: str) -> bool:
        """Tell whether a session is known and has not expired."""
        with self._lock:
            return self._sessions.get(session, 0.0) > time.monotonic()

    def check_password(self, password: str, address: str) -> None:
        """Return if the password is right.

        Args:
            password: What was given.
            address: Where the caller is.

        Raises:
            RequestProblem: 401 for a wrong password, 429 after too many of them.
        """
        with self._lock:
            failures = self._failures_of(address)
            wanted = self._password or ""
            if hmac.compare_digest(_bytes(password), _bytes(wanted)):
                return
            failures.append(time.monotonic())
            self._remember(address, failures)
        raise RequestProblem(401, "the password is wrong", field="password")

    def _failures_of(self, address: str) -> deque[float]:
        failures = self._failures.get(address, deque(maxlen=MOST_FAILURES))
        is_many = len(failures) == MOST_FAILURES
        if is_many and time.monotonic() - failures[0] < FAILURE_SECONDS:
            reason = f"too many wrong passwords; wait {FAILURE_SECONDS:.0f} seconds"
            raise RequestProblem(429, reason, field="password")
        return failures

    def _remember(self, address: str, failures: deque[float]) -> None:
        self._failures[address] = failures
        self._failures.move_to_end(address)
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
