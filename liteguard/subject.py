"""For whom a check is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Protocol

if TYPE_CHECKING:
    from liteguard.recall import Key, Recalled
    from liteguard.types import ProtectedContext


class Subject(Protocol):
    """For whom a check is made; scopes implement it."""

    @property
    def values(self) -> dict[str, Any]:
        """The properties, never edited."""

    @property
    def protected_context(self) -> Optional[ProtectedContext]:
        """The protected context bound to it, if one is."""

    @property
    def recalled(self) -> dict[Key, Optional[Recalled]]:
        """By guard what an earlier check made of it; ``None`` after the first."""

    @property
    def recalled_calls(self) -> dict[Key, Optional[Recalled]]:
        """The same by `key_of`, of checks with properties of their own."""

    def encoded_properties(self) -> bytes:
        """Return the properties as JSON, encoded once."""
