from __future__ import annotations

import codecs
import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from liteguard.errors import BundleError
from liteguard.evaluation.bundle import Bundle, decode_bundle


def body(*guards: Any, **fields: Any) -> bytes:
    """Return a bundle as a backend sends it, with characters left as they are."""
    bundle = {"guards": guards, **fields}
    return json.dumps(bundle, ensure_ascii=False).encode(errors="surrogatepass")


def decode(*guards: bytes) -> Bundle:
    """Decode a bundle of guards spelled byte by byte."""
    return decode_bundle(b'{"guards": [' + b" , ".join(guards) + b"]}")


def test_fields_are_found() -> None:
    """The tag, the interval and each guard's own bytes are found, in any order."""
    bundle = decode_bundle(
        b'\n{"other": [{"guards": []}], "refreshRateSeconds": 90,\t"guards" : [ '
        b'{"name": "a", "rules": [1, {}]} , {"x": "}],", "name": "b"}\r\n], '
        b'"omittedProtectedPropertyNames": ["secret"], "etag": "v1"} '
    )
    assert bundle == Bundle(
        etag="v1",
        refresh_rate_seconds=90.0,
        documents={
            "a": b'{"name": "a", "rules": [1, {}]}',
            "b": b'{"x": "}],", "name": "b"}',
        },
    )


def test_a_bundle_may_be_empty() -> None:
    """A bundle without guards, tag and interval is one."""
    bundle = decode_bundle(b'{"guards": []}')
    assert bundle == Bundle(etag="", refresh_rate_seconds=None, documents={})


@pytest.mark.parametrize("name", ["ключ", "grün-😀", "\u0080", "日本", 'a\\b"c\n'])
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_names_may_be_any_text(name: str, *, ensure_ascii: bool) -> None:
    """Guards after and between non-ASCII text are cut out at the right bytes."""
    guards = [{"name": name}, {"name": "plain"}, {"name": name * 2, "ü": "ü"}]
    documents = [json.dumps(g, ensure_ascii=ensure_ascii).encode() for g in guards]
    bundle = decode(*documents)
    assert dict(bundle.documents) == {
        name: documents[0],
        "plain": documents[1],
        name * 2: documents[2],
    }


def test_a_name_may_be_half_a_surrogate_pair() -> None:
    """A name that JSON can spell and UTF-8 cannot is kept as it is."""
    bundle = decode(rb'{"name": "\ud800"}')
    assert dict(bundle.documents) == {"\ud800": rb'{"name": "\ud800"}'}


def test_numbers_of_any_kind_are_passed_over() -> None:
    """NaN, infinities and endless digits are no reason to refuse a bundle."""
    document = b'{"name": "a", "x": [NaN, -Infinity, 1e999, ' + b"9" * 10_000 + b"]}"
    assert dict(decode(document).documents) == {"a": document}


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        (b"7", "guard number 1 left out: it is no object"),
        (b'["name"]', "guard number 1 left out: it is no object"),
        (b"{}", "guard number 1 left out: it has no name"),
        (b'{"name": ""}', "guard number 1 left out: it has no name"),
        (b'{"name": null}', "guard number 1 left out: it has no name"),
        (b'{"name": ["\xc3\xa4"]}', "guard number 1 left out: it has no name"),
        (
            b'{"name": "x", "rules": '
            + b'[{"]":' * 50_000
            + b"1"
            + b"}]" * 50_000
            + b"}",
            "guard number 1 left out: it is nested too deeply",
        ),
    ],
)
def test_one_bad_element_is_left_out(element: bytes, problem: str) -> None:
    """An element that is no guard is named, and the guards around it are kept."""
    bundle = decode(b'{"name": "a"}', element, b'{"name": "b"}')
    assert list(bundle.documents) == ["a", "b"]
    assert bundle.problems == (problem,)


def test_bytes_that_are_no_utf_8_stay_in_their_guard() -> None:
    """Broken text in one guard, in its name even, moves no other guard."""
    bundle = decode(
        b'{"name": "a", "x": "\xff"}', b'{"name": "\xe2"}', b'{"name": "b"}'
    )
    assert list(bundle.documents) == ["a", "\udce2", "b"]
    assert bundle.documents["b"] == b'{"name": "b"}'


def test_of_guards_with_one_name_the_last_counts() -> None:
    """A name that comes twice is reported."""
    bundle = decode(b'{"name": "a", "x": 1}', b'{"name": "a", "x": 2}')
    assert dict(bundle.documents) == {"a": b'{"name": "a", "x": 2}'}
    assert bundle.problems == ("guard 'a' comes twice: the last one counts",)


def test_problems_are_bounded() -> None:
    """However much is wrong, it is told in a few short texts."""
    name = "n" * 10_000
    guards = [{"name": name}, {"name": name}, *range(5_000)]
    problems = decode_bundle(body(*guards)).problems
    assert len(problems) == 11
    assert problems[-1] == "and 4991 more problems"
    assert max(map(len, problems)) < 200


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "expected '{' at character 0"),
        (b"<html>", "expected '{' at character 0"),
        (b"[]", "expected '{' at character 0"),
        (b'"guards"', "expected '{' at character 0"),
        (b'{"guards": []', "expected ',' at character 13"),
        (b'{"guards": [] "etag"', "expected ',' at character 14"),
        (b'{"guards": [}', "expected a value at character 12"),
        (b'{"guards": [{"name": "a"} {"name": "b"}]}', "expected ',' at character 26"),
        (b'{"guards": [{"name": "a",}]}', "expected a value at character 12"),
        (b'{"guards": [],}', "expected a value at character 14"),
        (b'{"guards" []}', "expected ':' at character 10"),
        (b'{1: 2, "guards": []}', "expected a key at character 2"),
        (b'{"guards": []} x', "expected the end at character 15"),
        (b'{"guards": []}{}', "expected the end at character 14"),
        (b'{"guards": ' + b"[" * 100_000, "expected a closing bracket at character 12"),
        (b'{"guards": [' + b"[" * 100_000 + rb'"\"\"', "expected a closing bracket at"),
    ],
)
def test_what_is_no_json_object_is_refused(broken: bytes, message: str) -> None:
    """The error tells what was expected, and where."""
    with pytest.raises(BundleError, match=message) as caught:
        decode_bundle(broken)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"{}", "guards is missing"),
        (b'{"guards": null}', "guards must be an array"),
        (b'{"guards": {}}', "guards must be an array"),
        (b'{"guards": "a"}', "guards must be an array"),
    ],
)
def test_a_bundle_without_guards_is_refused(broken: bytes, message: str) -> None:
    """The error names the field."""
    with pytest.raises(BundleError, match=message) as caught:
        decode_bundle(broken)
    assert caught.value.field == "guards"


def test_an_endless_string_is_refused_in_linear_time() -> None:
    """Quotes that are never closed are each looked at once."""
    with pytest.raises(BundleError):
        decode_bundle(b'{"guards": [' + b"[" * 100_000 + rb'"' + rb"\"" * 1_000_000)


def test_a_byte_order_mark_is_passed_over() -> None:
    """The published package reads it, so this one does."""
    bundle = decode_bundle(codecs.BOM_UTF8 + body({"name": "a"}))
    assert bundle.documents["a"] == b'{"name": "a"}'


def test_the_last_of_equal_members_counts() -> None:
    """Members that come twice are read as Python's json reads them."""
    bundle = decode_bundle(
        b'{"guards": [{"name": "a"}], "etag": "1", "guards": [], "etag": "2"}'
    )
    assert (bundle.etag, dict(bundle.documents)) == ("2", {})


@pytest.mark.parametrize("etag", [5, "a\r\nX-Evil: 1", "ü", ["a"], True])
def test_a_tag_that_no_header_can_hold_is_ignored(etag: Any) -> None:
    """It would be sent back in a header."""
    bundle = decode_bundle(body(etag=etag))
    assert bundle.etag == ""
    assert bundle.problems == ("etag ignored: it must be printable ASCII text",)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(30, 30.0), (0.5, 0.5), (0, None), (-1, None), (None, None)],
)
def test_the_interval_is_read(value: Any, seconds: Any) -> None:
    """No interval, zero and less are no wish."""
    bundle = decode_bundle(body(refreshRateSeconds=value, etag=None))
    assert bundle == Bundle(etag="", refresh_rate_seconds=seconds, documents={})


@pytest.mark.parametrize("value", ["30", True, [], float("nan"), float("inf"), 10**400])
def test_an_interval_that_is_no_number_is_ignored(value: Any) -> None:
    """It is reported, and the guards are kept."""
    bundle = decode_bundle(body({"name": "a"}, refreshRateSeconds=value))
    assert bundle.refresh_rate_seconds is None
    assert bundle.problems == ("refreshRateSeconds ignored: it must be a number",)
    assert list(bundle.documents) == ["a"]


def test_a_deeply_nested_member_is_passed_over() -> None:
    """A member that nobody reads may hold anything."""
    deep = b"[" * 100_000 + b"]" * 100_000
    bundle = decode_bundle(b'{"x": ' + deep + b', "etag": ' + deep + b', "guards": []}')
    assert bundle.etag == ""


def test_a_bundle_cannot_be_changed() -> None:
    """Neither its fields nor its documents."""
    bundle = decode(b'{"name": "a"}')
    with pytest.raises(FrozenInstanceError):
        bundle.etag = "b"  # type: ignore[misc]  # this is what must fail
    with pytest.raises(TypeError):
        bundle.documents["a"] = b""  # type: ignore[index]  # this is what must fail
