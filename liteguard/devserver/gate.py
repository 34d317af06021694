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
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)

    @property
    def asks_for_password(self) -> bool:
        """Whether there is a password to give."""
        return self._password is not None

    def open_session(self, password: str) -> str:
        """Return a new session's secret for the right password.

        Raises:
            RequestProblem: 401 for a wrong password, 429 after too many of them.
        """
        self.check_password(password)
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

    def check_password(self, password: str) -> None:
        """Return if the password is right.

        Raises:
            RequestProblem: 401 for a wrong password, 429 after too many of them.
        """
        with self._lock:
            self._refuse_guessing()
            wanted = self._password or ""
            if hmac.compare_digest(_bytes(password), _bytes(wanted)):
                return
            self._failures.append(time.monotonic())
        raise RequestProblem(401, "the password is wrong", field="password")

    def _refuse_guessing(self) -> None:
        oldest = self._failures[0] if len(self._failures) == MOST_FAILURES else None
        if oldest is not None and time.monotonic() - oldest < FAILURE_SECONDS:
            reason = f"too many wrong passwords; wait {FAILURE_SECONDS:.0f} seconds"
            raise RequestProblem(429, reason, field="password")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
