"""Compiles regular expressions that came over the network, unless they can blow up.

Python's engine tries one way through a pattern after another. This file promises that
no search takes more than about a second, usually far less:

- What could take time that grows exponentially with the text is refused: a repetition
  that can match the same text in two ways, as in ``(a+)+`` or ``(a|ab?b?)*``.
- Other patterns take time in proportion to a power of the text's length, one more for
  each repetition whose end the text leaves open, as in ``x.*y.*z``. The higher it is,
  the shorter is the longest text that is searched; what is longer matches nothing.
"""

from __future__ import annotations

import re
from typing import Callable

from liteguard.errors import BundleError
from liteguard.evaluation.regex_screen import longest_text

LONGEST_PATTERN = 4_000
"""In characters."""

# Whether something is found does not depend on them, but the time it takes does.
_FREE_ENDS = re.compile(r"^(?:\.\*\??)+(?![*+?{])|(?<!\\)(?:\.\*\??)+\Z")


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether *pattern* is found in a text. Thread-safe.

    May take some milliseconds.

    Raises:
        BundleError: It is invalid, too long, or could blow up.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise _refusal(f"is longer than {LONGEST_PATTERN} characters")
    try:
        re.compile(pattern)
        essence = _FREE_ENDS.sub("", pattern)
        longest, search = longest_text(essence), re.compile(essence).search
    except BundleError as error:
        raise _refusal(str(error)) from error
    except Exception as error:
        # The parser documents no complete list, and a check never raises.
        raise _refusal(f"is invalid: {error}") from error

    def is_found_in(text: str) -> bool:
        return len(text) <= longest and search(text) is not None

    return is_found_in


def _refusal(why: str) -> BundleError:
    return BundleError(f"its regular expression {why}", field="values")
