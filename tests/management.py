"""A client of the local backend's management API, for tests.

Every call opens a connection of its own, so that a test that forks shares none.
"""

from __future__ import annotations

from typing import Any, Optional, TypedDict
from urllib.parse import quote

import requests

REQUEST_SECONDS = 15.0
PAGE = 10_000


class Tally(TypedDict):
    """Distinct signals of one guard or one sender."""

    open: int
    closed: int
    executions: int


class SignalSummary(TypedDict):
    """All signals of an environment, counted."""

    total: int
    distinct: int
    redelivered: int
    droppedSignals: int
    lastId: int
    byGuard: dict[str, Tally]
    byPid: dict[str, Tally]
    byProcess: dict[str, Tally]


class PollSummary(TypedDict):
    """All fetches of an environment, counted."""

    total: int
    fetched: int
    notModified: int
    byPid: dict[str, int]
    byProcess: dict[str, int]


class Management:
    """Calls of the management API of one backend.

    Args:
        environment: What every method means unless told otherwise.
        refresh_rate_seconds: What bundles of new environments ask clients for.
    """

    def __init__(self, environment: str, refresh_rate_seconds: float) -> None:
        self.url = ""
        self.environment = environment
        self.refresh_rate_seconds = refresh_rate_seconds
        self.password: Optional[str] = None

    def create_environment(self, name: str) -> str:
        """Create an environment like the server's own; return a token for it."""
        fields = {"name": name, "refreshRateSeconds": self.refresh_rate_seconds}
        self.manage("POST", "environments", fields)
        return self.create_token(name)

    def create_token(self, environment: Optional[str]) -> str:
        """Create a token for one environment, or for all if that is ``None``."""
        issued = self.manage("POST", "tokens", {"environment": environment})
        return str(issued["token"])

    def set_refresh_rate(
        self, seconds: float, *, environment: Optional[str] = None
    ) -> None:
        """Set the refresh interval that the bundle asks clients for."""
        path = self._path("", environment).rstrip("/")
        self.manage("PATCH", path, {"refreshRateSeconds": seconds})

    def create_guard(
        self,
        name: str,
        *,
        adopted: bool = True,
        default_value: bool = False,
        rules: tuple[dict[str, Any], ...] = (),
        environment: Optional[str] = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Create a guard; *more* are further fields, in camelCase as on the wire."""
        guard = {
            "name": name,
            "adopted": adopted,
            "defaultValue": default_value,
            "rules": list(rules),
            **more,
        }
        created = self.manage("POST", self._path("guards", environment), guard)
        return dict(created)

    def update_guard(
        self, name: str, *, environment: Optional[str] = None, **fields: Any
    ) -> dict[str, Any]:
        """Replace fields of a guard; *fields* are in camelCase as on the wire."""
        changed = self.manage("PATCH", self._guard_path(name, environment), fields)
        return dict(changed)

    def delete_guard(self, name: str, *, environment: Optional[str] = None) -> None:
        """Delete a guard."""
        self.manage("DELETE", self._guard_path(name, environment))

    def adopt_guard(
        self, name: str, *, environment: Optional[str] = None
    ) -> dict[str, Any]:
        """Adopt a guard that exists or that clients asked for."""
        path = self._guard_path(name, environment) + "/adopt"
        return dict(self.manage("POST", path))

    def guards(self, *, environment: Optional[str] = None) -> list[dict[str, Any]]:
        """Return all guards by name."""
        return list(self.manage("GET", self._path("guards", environment))["guards"])

    def signals(
        self, *, environment: Optional[str] = None, **filters: Any
    ) -> list[dict[str, Any]]:
        """Return all signals in the order of arrival.

        Args:
            environment: Whose.
            filters: ``guard``, ``kind``, and ``since``, an id that comes before.
        """
        return self._pages("signals", environment, filters)

    def signal_summary(self, *, environment: Optional[str] = None) -> SignalSummary:
        """Count all signals, by guard and by sender."""
        summary: SignalSummary = self.manage(
            "GET", self._path("signals/summary", environment)
        )
        return summary

    def observations(
        self, *, environment: Optional[str] = None
    ) -> dict[str, dict[str, Any]]:
        """Return what is known of unadopted guards, by name."""
        found = self.manage("GET", self._path("observations", environment))
        return {entry["guardName"]: entry for entry in found["observations"]}

    def polls(
        self, *, environment: Optional[str] = None, **filters: Any
    ) -> list[dict[str, Any]]:
        """Return all fetches in the order of arrival; the filter is ``since``."""
        return self._pages("polls", environment, filters)

    def poll_summary(self, *, environment: Optional[str] = None) -> PollSummary:
        """Count all fetches, by sender."""
        summary: PollSummary = self.manage(
            "GET", self._path("polls/summary", environment)
        )
        return summary

    def poll_count(self, *, environment: Optional[str] = None) -> int:
        """Return the number of all fetches."""
        return self.poll_summary(environment=environment)["total"]

    def manage(self, method: str, path: str, document: Any = None) -> Any:
        """Call the management API and return the decoded answer.

        Args:
            method: HTTP method.
            path: What follows ``/manage/v1/``, encoded.
            document: The request's body, if it has one.

        Raises:
            requests.HTTPError: The answer is an error.
        """
        response = self.request(method, f"/manage/v1/{path}", json=document)
        if not response.ok:
            problem = f"{response.status_code} {response.text}"
            raise requests.HTTPError(problem, response=response)
        return response.json() if response.content else None

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request to this server, passing by configured proxies.

        The password goes with calls of the management API, if there is one;
        ``auth=None`` leaves it out.
        """
        if self.password is not None and path.startswith("/manage/"):
            options.setdefault("auth", ("", self.password))
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self.url + path, timeout=REQUEST_SECONDS, **options
            )

    def _pages(
        self, kind: str, environment: Optional[str], filters: dict[str, Any]
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        path = f"/manage/v1/{self._path(kind, environment)}"
        query = {"since": 0, **filters, "limit": PAGE}
        while True:
            response = self.request("GET", path, params=query)
            response.raise_for_status()
            page = response.json()[kind]
            found += page
            if len(page) < PAGE:
                return found
            query["since"] = page[-1]["id"]

    def _path(self, rest: str, environment: Optional[str]) -> str:
        return f"environments/{environment or self.environment}/{rest}"

    def _guard_path(self, name: str, environment: Optional[str]) -> str:
        return self._path(f"guards/{quote(name, safe='')}", environment)
