"""The bundle that an application brings along, used until the first one is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import orjson

from liteguard.errors import BundleError, ConfigurationError
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable

if TYPE_CHECKING:
    from collections.abc import Mapping


def bootstrap_table(
    bootstrap: Union[str, Mapping[str, Any], None],
    *,
    on_problem: Callable[[str], None],
) -> Optional[GuardTable]:
    """Return the table of *bootstrap*, or ``None`` if there is none.

    Blocks for reading the file.

    Args:
        bootstrap: Path of a JSON file, or its content as a dict.
        on_problem: Told what is wrong with single guards.

    Raises:
        ConfigurationError: It cannot be read or is no bundle.
    """
    if bootstrap is None:
        return None
    try:
        body = (
            Path(bootstrap).read_bytes()
            if isinstance(bootstrap, str)
            else orjson.dumps(bootstrap)
        )
        return GuardTable(decode_bundle(body).documents, on_problem=on_problem)
    except (OSError, TypeError, BundleError) as error:
        named = bootstrap if isinstance(bootstrap, str) else "this dict"
        raise ConfigurationError(
            f"cannot use {named} as bootstrap: {error}; it must be a bundle as the "
            'backend sends it, {"guards": [...]}',
            field="bootstrap",
        ) from error
