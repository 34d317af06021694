from __future__ import annotations

import re
import sys
import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteguard.errors import BundleError
from liteguard.evaluation.bundle import Operator, Rule
from liteguard.evaluation.regex import LONGEST_PATTERN, compile_pattern
from liteguard.evaluation.regex_alphabet import Alphabet
from liteguard.evaluation.regex_graph import Graph
from liteguard.evaluation.regex_screen import LONGEST_TEXT, longest_text
from liteguard.evaluation.regex_tree import parse
from liteguard.evaluation.rules import compile_rule

if TYPE_CHECKING:
    from typing import Literal

ACTIONS: list[Literal["error", "always"]] = ["error", "always"]
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

# Python warns that these may mean something else one day.
DOUBTFUL = [
    ("[[a]", "["),
    ("[[:alpha:]]", "a]"),
    ("[+-a--b]", "-"),
    ("[+--]", "-"),
    ("[a&&b]", "&"),
    ("[a||b]", "|"),
    ("[a~~b]", "~"),
    ("(?x) # of [[\n [[a]", "["),
    ("(?:x[[a])+y", "x[y"),
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


@pytest.mark.parametrize(("pattern", "text"), DOUBTFUL)
def test_doubtful_patterns_match_as_ever_and_nobody_is_warned(
    pattern: str, text: str
) -> None:
    """What the application makes of warnings changes no answer, nor is it changed."""
    re.purge()
    with pytest.warns(FutureWarning):
        expected = re.compile(pattern)
    texts = [text, *map(chr, range(128)), "ab", "x[y", "[]", "--]", "&&b]"]
    for action in ACTIONS:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter(action)
            filters = list(warnings.filters)
            is_found_in = compile_pattern(pattern)
            assert (heard, warnings.filters) == ([], filters)
        assert is_found_in(text)
        for other in texts:
            assert is_found_in(other) is (expected.search(other) is not None)


TOO_LONG = [
    "^" + "a?" * 30 + "a" * 30,
    "^" + "".join(f"(?:{chr(97 + n)}?)?" for n in range(26)) + "!",
    "^(?:|a?)" + "(?:b|)" * 30,
    "^" + "a*" * 8 + "b",
    r"^((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.?\b){4}$",
    "x.*a.*b.*c.*d.*e",
    "^(?:.*a){4}(?:.*b){4}c",
    r"^(?:(.+)\1){4}x",
    "^" + "(?=.*a.*b)" * 4 + "c",
    r"^(?:a?\w+.){4}a*b*c",
]


@pytest.mark.parametrize("pattern", BLOW_UP)
def test_patterns_that_take_exponential_time_are_refused(pattern: str) -> None:
    """A pattern that can match a repeated text in two ways is valid, and refused."""
    # At either end a repetition would be cut short, and harm nobody.
    pattern = f"^(?:{pattern})$"
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
        ("x.*y.*z", 226),
        (".*x.*y.*z.*", 226),
        ("^(?:.*x){3}", 226),
        ("^x.*y.*z(?=.*a)", 226),
        (r"x(.*)y\1z", 179),
        ("x(?:.*|a?)y.*z", 142),
        ("x(?:a.*|b*)y.*z", 80),
        ("^(?:[ab]*a[ab]c)*d.*e.*f", 179),
        ("w.*x.*y.*z", 80),
        ("^(?:a.|ab|a[bc])c.*d.*e.*f", 156),
        (r"(?m)^x.*y.*z", 226),
        (r"\Ax.*y.*z", 1000),
        (r"^\d+[ab]{9}[ab].*y.*z", 226),
        (r"^\d+(?:[ab]*a[ab]c)*=.*y.*z", 67),
        ("^(?:b(?:a?)?){3}=.*x.*y.*z", 112),
        ("^(?:ab?b){3}=.*x.*y.*z", 112),
        ("^(?=a?a?a?a?=).*x.*y.*z", 77),
        ("^x(?:[ab]+c|[ad]+e).*x.*y.*z", 67),
        (r"\d+x.*y", 1000),
        (r"x.*y\d+", 1000),
        (r"(x.*)?y.*z(\d+|.*)", 1000),
        (r"(?:ab|a[bc]|a.)x.*y.*z", 156),
    ],
)
def test_what_is_left_open_shortens_the_text(pattern: str, longest: int) -> None:
    """Each repetition whose end is open, each look-ahead and each choice counts."""
    assert longest_text(parse(pattern)) == longest


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a{99999999999}", "(" * 2_000])
def test_invalid_patterns_are_refused(pattern: str) -> None:
    """Whatever the compiler raises becomes one kind of error."""
    with pytest.raises(BundleError, match="its regular expression is invalid: "):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "x(?:" + "|".join(chr(0x4E00 + n) + "x" for n in range(300)) + ")+$",
        "^" + "".join(f"(?:{chr(97 + n)}x?)?" for n in range(20)) * 10 + "$",
        "".join(f"[^{chr(0x4E00 + 9 * n)}]" for n in range(600)),
        "".join(f"[{chr(0x4E00 + 9 * n)}{chr(0x4E04 + 9 * n)}]" for n in range(400)),
        "(?i)" + r"[b-\U0010fff0]" * 3,
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


def test_a_repetition_at_an_end_costs_nothing() -> None:
    """What may go on at either end does not shorten the text."""
    is_found_in = compile_pattern(r".*x.*y\d+")
    assert is_found_in("-" * 300 + "x" + "-" * 300 + "y7")
    assert not is_found_in("-" * 600 + "xy")


PIECES = [
    "a",
    "b",
    "ab",
    "[ab]",
    "[^a]",
    ".",
    r"\w",
    r"\d",
    "(a)",
    "(?:b|ab)",
    "(?i:A)",
]
REPEATED = ["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{2,}"]
SPOTS = ["^", "$", r"\b", r"\B", "(?=a)", "(?!b)", "(?<=a)", "(?<!ab)"]
PIECE = st.builds(str.__add__, st.sampled_from(PIECES), st.sampled_from(REPEATED))
PATTERNS = st.recursive(
    st.lists(st.one_of(PIECE, PIECE, st.sampled_from(SPOTS)), max_size=4).map("".join),
    lambda inner: st.builds(
        "{}(?:{}|{}){}{}".format, inner, inner, inner, st.sampled_from(REPEATED), inner
    ),
    max_leaves=3,
)


@settings(max_examples=400, database=None, deadline=None)
@given(pattern=PATTERNS, texts=st.lists(st.text("aAb1\n", max_size=8), min_size=8))
def test_what_is_searched_is_found_as_without_cutting(
    pattern: str, texts: list[str]
) -> None:
    """Cutting repetitions short at the ends of a pattern changes no answer."""
    try:
        is_found_in = compile_pattern(pattern)
    except BundleError:
        return
    found = re.compile(pattern)
    for text in texts:
        assert is_found_in(text) is (found.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"(a)?b\1", "b", False),
        (r"(a)?b(?(1)c|d)", "bc", False),
        (r"(?m)b*^a+", "\naa", True),
    ],
)
def test_what_refers_to_a_repetition_keeps_it(
    pattern: str, text: str, *, expected: bool
) -> None:
    """A group that is referred to is not cut away."""
    assert compile_pattern(pattern)(text) is expected


def test_a_construct_that_is_not_known_is_refused() -> None:
    """What a later version of the language may add is not taken on trust."""
    with pytest.raises(BundleError, match="uses NEW, which is not supported"):
        Graph([("NEW", None)], flags=0, alphabet=Alphabet([]))


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
