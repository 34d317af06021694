"""Regular expressions known to take too long in engines that try one way after another.

Each comes with the text that makes it do so: a beginning, a piece to be repeated as
often as a length allows, and an end. From advisories, outages and papers on the matter.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """A pattern and its worst text.

    Args:
        pattern: The pattern.
        pump: What is repeated.
        start: What comes first.
        end: What comes last, and keeps the text from matching.
    """

    pattern: str
    pump: str
    start: str = ""
    end: str = "!"

    def text(self, length: int) -> str:
        """Return a text of at most *length* characters."""
        rounds = (length - len(self.start) - len(self.end)) // len(self.pump)
        return self.start + self.pump * max(rounds, 0) + self.end


ATTACKS = [
    Attack(r"(a+)+$", "a"),
    Attack(r"^(a+)+$", "a"),
    Attack(r"(a*)*b", "a"),
    Attack(r"(a|a)*$", "a"),
    Attack(r"(a|aa)+$", "a"),
    Attack(r"(a|a?)+$", "a"),
    Attack(r"(.*a){20}", "a"),
    Attack(r"(.*?,){11}P", "1,", end=""),
    Attack(r"(x+x+)+y", "x"),
    Attack(r"([a-zA-Z]+)*$", "a"),
    Attack(r"^(\w+\s?)*$", "aaaa "),
    Attack(r"^(([a-z])+.)+[A-Z]([a-z])+$", "a"),
    Attack(r"(?:(?:a{1,9}){1,9}){1,9}b", "a"),
    Attack(r"(?=(a+)+$)", "a"),
    Attack(r"^(?:(\w)|\1)*$", "a"),
    Attack(r"^((ab)*)+$", "ab"),
    Attack(r"^(\d+|\d+\.)*$", "1"),
    Attack(r"^(?:[^,]|,?)*;", "a,"),
    # A validator of e-mail addresses that many pages recommend.
    Attack(
        r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}"
        r"(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$",
        "a",
    ),
    Attack(r"^([\w\-]+\.?)+@([\w\-]+\.?)+$", "a", start="a@"),
    # A filter of a network, whose use of all processors was in the news in 2019.
    Attack(
        r"(?:(?:\"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)"
        r"|`|\-|\+)+[)]*;?((?:\s|-|~|!|{}|\|\||\+)*.*(?:.*=.*)))",
        "x=",
        start="1",
        end="",
    ),
    Attack(r"^(?:\s*\w+\s*,?)*$", "a "),
    Attack(r"^(?:/?[\w-]*)*\.html$", "a"),
    Attack(r"^(https?://)?([\da-z.-]+)\.([a-z.]{2,6})([/\w .-]*)*/?$", "a", "a.co/"),
    Attack(r"^(?:\d{1,3},?)+$", "1"),
    Attack(r"<(?:\w+\s*=?\s*)+>", "a", start="<"),
    # From here on in time that grows with a power of the text's length only.
    Attack(r"\s+$", " "),
    Attack(r"^[\s\u200c]+|[\s\u200c]+$", "\u200c"),
    Attack(r".*=.*;", "=", end=""),
    Attack(r"a*a*b", "a"),
    Attack(r"a*a*a*b", "a"),
    Attack(r"^a*a*a*a*b", "a"),
    Attack(r".*.*.*=", "a"),
    Attack(r"x.*y.*z", "xy", end=""),
    Attack(r"(\w+)\s*=\s*(\w+)$", "a"),
    Attack(r"^.+@.+\..+$", "@.", end="\n\n"),
    Attack(r"[\w.]+@[\w.]+\.\w+", "a@", end="@"),
    Attack(r"(?:\d+\.?)\d+\.\d+$", "1"),
    Attack(r"<.*>.*</.*>", "<>", end=""),
    Attack(r"iPhone.*OS 1[5-9]_\d+", "iPhoneOS 1"),
    Attack(r"Mozilla.*Windows.*Firefox/\d+", "MozillaWindowsFirefox/"),
    Attack(r"\d+-\d+-\d+$", "1-"),
    Attack(r"(\w+)\1$", "a"),
    Attack(r"(.+)\1x", "a"),
    Attack(r"(?=.*a.*b)x", "a"),
    Attack(r"(?<=a)b*c", "ab"),
    Attack(r"(?:ab|a|b)c.*d.*e", "abcd"),
    Attack(r"\D*\d{1,2}\D*\d{1,4}\D*$", "1a", end="12345"),
    Attack(r"(?:[^\W_]+-)*[^\W_]+@", "a-"),
    Attack(r"a?a?a?a?a?a?a?a?a?a?aaaaaaaaaa", "aaaa", end=""),
    Attack(r"([^/]*/)*x$", "a/"),
    Attack(r"(?s).*a.*b.*c", "a"),
]
"""In time that grows exponentially with the text's length, unless said otherwise."""
