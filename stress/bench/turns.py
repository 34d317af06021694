"""Programs that run side by side, each in an environment of its own, and take turns."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any, cast

from environments import variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

FOLDER = Path(__file__).resolve().parent
PROGRAMS = FOLDER / "programs"

# Where the programs find what they have in common.
PATH = str(FOLDER)

# Whatever is not on loopback fails at once.
NOWHERE = {
    **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
}


class Program:
    """One program, driven by lines on its standard streams.

    Args:
        python: The interpreter of its environment.
        name: Its file in `programs`, without the ending.
        arguments: What it finds in ``sys.argv``.
    """

    def __init__(self, python: Path, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603  our own programs
            [str(python), str(PROGRAMS / f"{name}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**variables(), **NOWHERE, "PYTHONPATH": PATH},
        )
        self._orders = cast("IO[str]", self._process.stdin)
        self._results = cast("IO[str]", self._process.stdout)

    def __enter__(self) -> Program:
        """Return it; it has started."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End it, whose input ends."""
        self._orders.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def answer(self) -> Any:
        """Wait for the next line that it prints, which is JSON."""
        line = self._results.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended")
        return json.loads(line)

    def ask(self, order: str) -> Any:
        """Give it a line, and return its answer."""
        self._orders.write(order + "\n")
        self._orders.flush()
        return self.answer()


def take_turns(
    programs: Mapping[str, tuple[Path, str, tuple[str, ...]]], turns: int
) -> dict[str, dict[str, float]]:
    """Run the cases of all programs in turns; return the median of each by its name.

    A program answers with one value or more, each under what its name has besides.

    Args:
        programs: By name the interpreter, the file in `programs` and its arguments.
        turns: How often each case is measured.
    """
    cases: dict[str, list[str]] = {}
    taken: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        running: dict[str, Program] = {}
        for name, (python, file, arguments) in programs.items():
            program = stack.enter_context(Program(python, file, *arguments))
            cases[name] = program.answer()
            taken[name] = {}
            running[name] = program
        for _ in range(turns):
            for name, program in running.items():
                for case in cases[name]:
                    for kind, value in program.ask(case).items():
                        taken[name].setdefault(case + kind, []).append(value)
    return {
        name: {case: median(values) for case, values in measured.items()}
        for name, measured in taken.items()
    }
