"""Draws what a terminal shows of ``liteguard demo``: ``python stress/demo_picture.py``.

Runs the demo in a terminal of its own, takes what is on its screen at the end, with the
table of workers as it was while they answered, and writes it to `docs/demo.svg`.
"""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 92
# Once the requests have ended no worker answers, and the table gives each up.
GIVEN_UP = "\x1b[31mgone"
TABLE, TABLE_END = "┏", "┘"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"
PROMPT = "$ liteguard demo\n"
# The codes with which rich moves the cursor, takes lines away, and hides the cursor.
CODES = re.compile(
    r"\x1b\[(?:(\d+)A|(2K)|\?25[lh])|(\n)|(\r)|((?:[^\x1b\r\n]|\x1b\[[\d;]*m)+)"
)
FONT_FROM_ELSEWHERE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    """Run, draw and write."""
    status, told = run()
    if status:
        sys.exit(told)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text(PROMPT), end="")
    lines, _, _ = screen(told).partition(TABLE)
    before, _, _ = told.partition(GIVEN_UP)
    end = before.rindex(TABLE_END) + 1
    _, _, table = screen(told[:end]).partition(TABLE)
    console.print(Text.from_ansi(f"{lines}{TABLE}{table}"))
    drawn = console.export_svg(title="liteguard demo", unique_id="demo")
    PICTURE.write_text(FONT_FROM_ELSEWHERE.sub("", drawn))


def run() -> tuple[int, str]:
    """Return how the demo ended, and all that it sent to its terminal."""
    pid, terminal = pty.fork()
    if not pid:
        size = {"COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
        os.environ.update(size)
        os.execv(sys.executable, [sys.executable, "-m", "liteguard", "demo"])  # noqa: S606
    received = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # what Linux says when the other end is closed
            piece = b""
        if not piece:
            break
        received += piece
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), received.decode()


def screen(told: str) -> str:
    """Return what is on the screen at the end, colours included."""
    lines = [""]
    row = 0
    for up, erased, newline, _, text in CODES.findall(told):
        if up:
            row -= int(up)
        elif erased:
            lines[row] = ""
        elif newline:
            row += 1
            lines += [""] * (row == len(lines))
        else:
            lines[row] += text
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    main()
