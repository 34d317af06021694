"""One test's part of the shared backend: an environment and a token of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from management import Management

if TYPE_CHECKING:
    from pathlib import Path

    from devserver import DevServer


class Backend(Management):
    """Calls the management API; every method means this test's environment.

    Args:
        server: The running backend.
        environment: The environment's name, used by no other test.
    """

    def __init__(self, server: DevServer, environment: str) -> None:
        super().__init__(environment, server.refresh_rate_seconds)
        self.url = server.url
        self.token = self.create_environment(environment)

    def options(self, state_dir: Path, **more: Any) -> dict[str, Any]:
        """Return keyword arguments with which `LiteguardClient` finds this backend."""
        return {
            "project_client_token": self.token,
            "environment": self.environment,
            "backend_url": self.url,
            "state_dir": str(state_dir),
            **more,
        }

    def variables(self, state_dir: Path) -> dict[str, str]:
        """Return environment variables with which another process finds it."""
        return {
            "LITEGUARD_TOKEN": self.token,
            "LITEGUARD_ENVIRONMENT": self.environment,
            "LITEGUARD_BACKEND_URL": self.url,
            "LITEGUARD_STATE_DIR": str(state_dir),
        }
