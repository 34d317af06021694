"""A descriptor of our own, told apart from another file that was given its number.

Programs that become daemons close every descriptor that is open. The numbers then go
to files and sockets of the application, which must be neither read nor closed by us.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from liteguard.host.files import OWNER_READS

if TYPE_CHECKING:
    from pathlib import Path


class OwnDescriptor:
    """An open file that is not passed on to other programs and was no link.

    Args:
        path: The file.
        flags: How to open it, as for `os.open`.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, flags: int) -> None:
        self.number = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_READS)
        self.status = os.fstat(self.number)

    @property
    def is_ours(self) -> bool:
        """Whether the number still means the file that was opened."""
        try:
            return os.path.samestat(os.fstat(self.number), self.status)
        except OSError:
            return False

    def close(self) -> None:
        """Close it, unless somebody else did."""
        if self.is_ours:
            os.close(self.number)
