"""Whether a process must begin anew, in another state folder than before."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import StateFolderError

if TYPE_CHECKING:
    from liteguard.host.statedir import StateFolder

# How often a process without the folder that it should have looks for it.
_FIND_AGAIN_SECONDS = 60.0


class FolderWatch:
    """Looks after one process's state folder. Used by one thread at a time.

    Args:
        folder: The folder; ``None`` for a standalone process.
        find: Finds the folder that a process would use if it began now.
    """

    def __init__(
        self, folder: Optional[StateFolder], find: Callable[[], StateFolder]
    ) -> None:
        self._folder = folder
        self._find = find
        self._find_at = time.monotonic() + _FIND_AGAIN_SECONDS

    def must_move(self, *, is_lost: bool) -> bool:
        """Whether the folder is of no use any more, or a better one can be used again.

        Blocks for a few file operations.

        Args:
            is_lost: Whether what lay in it is known to be gone.
        """
        folder = self._folder
        if folder is not None:
            is_lost = is_lost or not folder.is_in_place
            if is_lost or folder.owner != os.geteuid():
                return True
            if not folder.refused:
                return False
        return self._has_found_a_better()

    def _has_found_a_better(self) -> bool:
        folder, now = self._folder, time.monotonic()
        if now < self._find_at:
            return False
        self._find_at = now + _FIND_AGAIN_SECONDS
        try:
            return self._find().path != (folder and folder.path)
        except StateFolderError:
            return False
