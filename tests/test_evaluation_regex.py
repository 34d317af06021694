from __future__ import annotations

import re
import sys

import pytest

from liteguard.errors import BundleError
from liteguard.evaluation.bundle import Operator, Rule
from liteguard.evaluation.regex import _FREE_ENDS, LONGEST_PATTERN, compile_pattern
from liteguard.evaluation.regex_graph import Graph
from liteguard.evaluation.regex_screen import LONGEST_TEXT, longest_text
from liteguard.evaluation.rules import compile_rule

OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
LABEL = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMANTIC_VERSION = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    rf"(?:-({LABEL}(?:\.{LABEL})*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
)

HARMLESS = [
    ("", "anything"),
    (".*", "anything"),
    (".*?b.*", "a\nabc"),
    (r"^a\.*", "a..."),
    (r"^a\\.*", "a\\bc"),
    (r"\Aa.b", "a.bc"),
    (r"(?m)^b$", "a\nb\nc"),
    (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.255"),
    (rf"^(?:{OCTET}\.){{3}}{OCTET}$", "10.0.0.255"),
    (r"^((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.?\b){4}$", "10.0.0.255"),
    (SEMANTIC_VERSION, "1.0.0-rc.1+build.5"),
    (
        r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    ),
    (r"^[\w.+-]+@[\w-]+\.[\w.-]+$", "jane.doe@mail.example.com"),
    (r"^(?:[a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}$", "a-b.example.com"),
    (r"(?i)^(en|de|fr)(-[a-z]{2})?$", "DE-at"),
    (r"^https?://([\w-]+\.)*example\.com(/.*)?$", "https://a.b.example.com/x"),
    (r"iPhone.*OS 1[5-9]_\d+", "iPhone; CPU iPhone OS 17_0"),
    (r"(foo|foobar)+$", "foobarfoo"),
    (r"^(?:(?!foo).)*$", "bar"),
    (r"^(?:[^,]*,){3}$", "a,b,,"),
    (r"^\s*(\w+\s*=\s*\w+\s*;)*$", "a = b;c=d ;"),
    (r"^(a)?(?(1)b|c)$", "ab"),
    (r"(\w)\1", "aa"),
    (r"^(?a:\w)+(?s:.)?$", "abc\n"),
    (r"(?<=a)b(?<!c)", "ab"),
    (r"^(?:(?a:\w)-?|é)*$", "a-é"),
    (r"^[^\W\d_]+(?:[éà][ñ])*$", "écoleéñ"),
    (r"a|(?!)", "a"),
    ("|".join(f"customer-{n}" for n in range(200)), "customer-199"),
]

POSSESSIVE = [("a++b", "ab"), ("(?>a+)b", "ab"), (".*+", "a"), ("^(?:a++b)*$", "aabab")]
IS_POSSESSIVE_KNOWN = sys.version_info >= (3, 11)

BLOW_UP = [
    r"(a+)+$",
    r"(a*)*b",
    r"(a?b?)*c",
    r"(a|aa)+$",
    r"(a|ab?b?)*c",
    r"(?:a|[^b])*c",
    r"(?i:(?:ab|A[bc])+)d",
    r"a(?:A-?|(?i:a)-?)*c",
    r"(?:b(?:a?)?)*c",
    r"(?:b(?:a?)*)*c",
    r"(?:(?:a?)+b)*c",
    r"(?:b(?:|))*c",
    r"(?:b(?:a*|d*))*c",
    r"(?:ab|ab)*c",
    r"(.*,)*x",
    r"(.*a){12}",
    r"(\w+\s?)*$",
    r"^(\s*\w+\s*)*$",
    r"([a-z]+)*\d",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(x+x+)+y",
    r"(a{1,9}){1,9}b",
    r"((a{1,4}){1,4}){1,4}b",
    r"(?=(a+)+$)x",
    r"(?:éx?|\w)*!",
    r"(?:\u0430x?|[\u0400-\u04ff])*!",
    r"(?:(\w)|\1)*!",
    r"(?:(a)|b\1c)*d",
    r"(a?){30}a{30}",
    r"(?:(a)?(?(1)b|.))*c",
]


@pytest.mark.parametrize(
    ("pattern", "text"), HARMLESS + (POSSESSIVE if IS_POSSESSIVE_KNOWN else [])
)
def test_usual_patterns_are_taken(pattern: str, text: str) -> None:
    """A pattern that cannot blow up matches as it does without screening."""
    assert compile_pattern(pattern)(text)


TOO_LONG = [
    "a?" * 30 + "a" * 30,
    "^" + "".join(f"(?:{chr(97 + n)}?)?" for n in range(26)) + "!",
    "^(?:|a?)" + "(?:b|)" * 30,
    "a*" * 8 + "b",
    "x.*a.*b.*c.*d.*e",
    "^(?:.*a){4}(?:.*b){4}c",
    r"^(?:(.+)\1){4}x",
    "^" + "(?=.*a.*b)" * 4 + "c",
    r"^(?:a?\w+.){4}a*b*c",
]


@pytest.mark.parametrize("pattern", BLOW_UP)
def test_patterns_that_take_exponential_time_are_refused(pattern: str) -> None:
    """A pattern that can match a repeated text in two ways is valid, and refused."""
    re.compile(pattern)
    with pytest.raises(BundleError, match="could take exponential time") as caught:
        compile_pattern(pattern)
    assert caught.value.field == "values"


@pytest.mark.parametrize("pattern", TOO_LONG)
def test_patterns_that_leave_too_much_open_are_refused(pattern: str) -> None:
    """A pattern is refused that could take too long even for a short text."""
    re.compile(pattern)
    with pytest.raises(BundleError, match="could take too long"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        (r"^\d+\.\d+\.\d+x?", 1000),
        (r"^\d{4}(?:-?\d{2}){2}", 1000),
        ("^x.*y.*z", 1000),
        ("x.*y.*z", 491),
        (".*x.*y.*z.*", 491),
        ("^(?:.*x){3}", 491),
        ("^x.*y.*z(?=.*a)", 491),
        (r"x(.*)y\1z", 389),
        ("x(?:.*|a?)y.*z", 308),
        ("x(?:a.*|b*)y.*z", 145),
        ("^(?:[ab]*a[ab]c)*d.*e.*f", 491),
        ("w.*x.*y.*z", 145),
        ("^(?:a.|ab|a[bc])c.*d.*e.*f", 339),
        (r"(?m)^x.*y.*z", 491),
        (r"\Ax.*y.*z", 1000),
        (r"^\d+[ab]{9}[ab].*y.*z", 491),
        (r"^\d+(?:[ab]*a[ab]c)*=.*y.*z", 121),
        ("^(?:b(?:a?)?){3}=.*x.*y.*z", 244),
        ("^(?:ab?b){3}=.*x.*y.*z", 244),
        ("^(?=a?a?a?a?=).*x.*y.*z", 269),
        ("^x(?:[ab]+c|[ad]+e).*x.*y.*z", 121),
    ],
)
def test_what_is_left_open_shortens_the_text(pattern: str, longest: int) -> None:
    """Each repetition whose end is open, each look-ahead and each choice counts."""
    assert longest_text(_FREE_ENDS.sub("", pattern)) == longest


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a{99999999999}", "(" * 2_000])
def test_invalid_patterns_are_refused(pattern: str) -> None:
    """Whatever the compiler raises becomes one kind of error."""
    with pytest.raises(BundleError, match="its regular expression is invalid: "):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "x(?:" + "|".join(chr(0x4E00 + n) + "x" for n in range(300)) + ")+",
        "".join(f"(?:{chr(97 + n)}x?)?" for n in range(20)) * 10,
    ],
)
def test_patterns_too_large_to_be_screened_are_refused(pattern: str) -> None:
    """Screening takes a bounded time."""
    with pytest.raises(BundleError, match="too complex"):
        compile_pattern(pattern)


def test_a_repetition_with_too_many_pairs_is_refused() -> None:
    """Screening takes a bounded time."""
    compile_pattern("(?:[ab]*a" + "[ab]" * 30 + "c)*")
    with pytest.raises(BundleError, match="too complex"):
        compile_pattern("(?:[ab]*a" + "[ab]" * 300 + "c)*")


def test_free_ends_cost_nothing() -> None:
    """What may be anything at either end does not shorten the text."""
    is_found_in = compile_pattern(".*x.*y.*z.*")
    assert is_found_in("-" * 100 + "x" + "-" * 200 + "yz" + "-" * 100)
    assert not is_found_in("-" * 100 + "xyz" + "-" * 400)


def test_a_construct_that_is_not_known_is_refused() -> None:
    """What a later version of the language may add is not taken on trust."""
    with pytest.raises(BundleError, match="uses NEW, which is not supported"):
        Graph([("NEW", None)], flags=0, alphabet="a")


def test_a_pattern_has_a_longest_length() -> None:
    """Up to it a pattern is taken."""
    assert compile_pattern("a" * LONGEST_PATTERN)("a" * 4_000) is False
    with pytest.raises(BundleError, match="longer than 4000 characters"):
        compile_pattern("a" * (LONGEST_PATTERN + 1))


def test_a_text_has_a_longest_length() -> None:
    """Up to it a text is examined, and beyond it nothing matches."""
    matches = compile_rule(Rule("p", Operator.REGEX, ("^a*$",)))
    assert matches({"p": "a" * LONGEST_TEXT})
    assert not matches({"p": "a" * (LONGEST_TEXT + 1)})
