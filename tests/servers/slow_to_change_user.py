"""A gunicorn configuration whose workers run the client before they change their user.

As with a directory service that is slow to name the groups of the new user.
"""

from __future__ import annotations

import os

from application import GUARD, client
from waiting import until

CHECKS = int(os.environ["CHECKS_OF_EACH_NEW_USER"])


def post_fork(_server: object, _worker: object) -> None:
    """Wait, still as root, until the client runs in this process."""
    until(lambda: client.status().role in ("leader", "follower"))


def post_worker_init(_worker: object) -> None:
    """Make checks as the new user, before the client can have noticed the change."""
    for _ in range(CHECKS):
        client.is_open(GUARD)
