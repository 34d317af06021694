"""Compiles regular expressions that came over the network, unless they can blow up.

Python's engine tries one way through a pattern after another. This file promises that
no search takes more than about a tenth of a second, and usually far less:

- What could take time that grows exponentially with the text is refused: a repetition
  that can match the same text in two ways, as in ``(a+)+`` or ``(a|ab?b?)*``.
- Other patterns take time in proportion to a power of the text's length, one more for
  each repetition whose end the text leaves open, as in ``x.*y.*z``. The higher it is,
  the shorter is the longest text that is searched; what is longer matches nothing.
"""

from __future__ import annotations

from typing import Callable

from liteguard.errors import BundleError
from liteguard.evaluation.regex_screen import LONGEST_TEXT, longest_text
from liteguard.evaluation.regex_tree import compile_tree, parse

LONGEST_PATTERN = 4_000
"""In characters."""


def compile_pattern(
    pattern: str, on_note: Callable[[str], None] = lambda _: None
) -> Callable[[str], bool]:
    """Return what tells whether *pattern* is found in a text. Thread-safe.

    May take some tens of milliseconds.

    Args:
        pattern: The pattern.
        on_note: Told if it leaves so much open that only short texts are searched.

    Raises:
        BundleError: It is invalid, too long, or could blow up.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise _refusal(f"is longer than {LONGEST_PATTERN} characters")
    try:
        tree = parse(pattern)
        longest = longest_text(tree)
        search = compile_tree(tree).search
    except BundleError as error:
        raise _refusal(str(error)) from error
    except Exception as error:
        # The parser documents no complete list, and a check never raises.
        raise _refusal(f"is invalid: {error}") from error

    if longest < LONGEST_TEXT:
        on_note(
            f"matches no text of more than {longest} characters: its regular "
            "expression leaves much open"
        )

    def is_found_in(text: str) -> bool:
        return len(text) <= longest and search(text) is not None

    return is_found_in


def _refusal(why: str) -> BundleError:
    return BundleError(f"its regular expression {why}", field="values")
