"""Compiles regular expressions that came over the network, unless they can blow up.

Python's engine tries one way through a pattern after another. This file promises that

- the number of ways never grows exponentially with the text: a repetition whose body
  can match the same text in two ways, as in ``(a+)+`` or ``(a|ab?b?)*``, is refused;
- a pattern has few choices outside of repetitions, so not ``a?`` thirty times over;
- pattern and text have a longest length, and a longer text matches nothing.

It does not promise linear time: ``.*x.*y.*z`` can take time in proportion to a power of
the text's length, one more for each ``.*``.
"""

from __future__ import annotations

import re

from liteguard.errors import BundleError
from liteguard.evaluation.regex_screen import refuse_blow_up

LONGEST_PATTERN = 4_000
"""In characters."""

LONGEST_TEXT = 1_000
"""In characters."""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile *pattern*. May take some milliseconds. Thread-safe.

    Raises:
        BundleError: It is invalid, too long, or could blow up.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise _refusal(f"is longer than {LONGEST_PATTERN} characters")
    try:
        compiled = re.compile(pattern)
        refuse_blow_up(pattern)
    except BundleError as error:
        raise _refusal(str(error)) from error
    except Exception as error:
        # The parser documents no complete list, and a check never raises.
        raise _refusal(f"is invalid: {error}") from error
    return compiled


def _refusal(why: str) -> BundleError:
    return BundleError(f"its regular expression {why}", field="values")
