"""Liteguard: feature guards for Python, made for forking servers.

>>> from liteguard import LiteguardClient
>>> client = LiteguardClient("pct-...")
>>> client.start()  # doctest: +SKIP
>>> client.is_open("payments.checkout")  # doctest: +SKIP
"""

from __future__ import annotations

from liteguard.client import LiteguardClient
from liteguard.errors import (
    BundleError,
    ConfigurationError,
    LiteguardError,
    NotReadyError,
    TransportError,
    TransportRejected,
    TransportTimeout,
)
from liteguard.evaluation.decision import GuardDecision, GuardDecisionReason
from liteguard.options import ClientOptions
from liteguard.scopes import LiteguardScope
from liteguard.status import ClientStatus, Role
from liteguard.telemetry.execution import Execution
from liteguard.types import Options, Properties, PropertyValue, ProtectedContext
from liteguard.version import __version__

__all__ = [
    "BundleError",
    "ClientOptions",
    "ClientStatus",
    "ConfigurationError",
    "Execution",
    "GuardDecision",
    "GuardDecisionReason",
    "LiteguardClient",
    "LiteguardError",
    "LiteguardScope",
    "NotReadyError",
    "Options",
    "Properties",
    "PropertyValue",
    "ProtectedContext",
    "Role",
    "TransportError",
    "TransportRejected",
    "TransportTimeout",
    "__version__",
]
