"""What the processes of one host share, all of it in the state folder."""

from __future__ import annotations
