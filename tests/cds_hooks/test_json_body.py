"""The fast way of reading a body gives what the exact way gives: the value, or the same refusal."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cds_hooks import json_body
from cds_hooks.errors import BadRequest
from cds_hooks.json_body import parse_exactly, parse_json

# Names and texts out of what JSON marks its own borders with, so that they are easily taken for it.
TRICKY = st.text(st.sampled_from('":\\ \n/u0023aA,{}[]é\ud800\x00'), max_size=6)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TRICKY)


@st.composite
def bodies(draw: st.DrawFn, depth: int = 3) -> str:
    """Write a value as JSON with freedom: white space, escapes, and now and then a name twice."""

    def text(value: str) -> str:
        return '"' + "".join(_character(one) for one in value) + '"'

    def _character(one: str) -> str:
        if draw(st.integers(0, 3)) == 0:
            code = f"{ord(one):04x}"
            return "\\u" + (code.upper() if draw(st.booleans()) else code)
        return json.dumps(one, ensure_ascii=draw(st.booleans()))[1:-1]

    def space() -> str:
        return draw(st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"]))

    def value(left: int) -> str:
        kind = draw(st.integers(0, 3)) if left else 0
        if kind <= 1:
            scalar = draw(SCALARS)
            return text(scalar) if isinstance(scalar, str) else json.dumps(scalar)
        if kind == 2:
            items = [value(left - 1) for _ in range(draw(st.integers(0, 3)))]
            return f"[{','.join(space() + item + space() for item in items)}]"
        names = draw(st.lists(TRICKY, max_size=4, unique=draw(st.booleans())))
        members = (f"{space()}{text(name)}{space()}:{space()}{value(left - 1)}" for name in names)
        return f"{{{','.join(members)}}}"

    return value(depth)


def outcome(parse: Any, body: bytes) -> tuple[str, str]:
    """What came of it, types and order of members included."""
    try:
        return "value", repr(parse(body))
    except BadRequest as refusal:
        return "refusal", f"{refusal} {refusal.__dict__}"


def same(body: bytes) -> None:
    """Also where the body is looked at in pieces that end anywhere."""
    expected = outcome(parse_exactly, body)
    assert outcome(parse_json, body) == expected
    with pytest.MonkeyPatch.context() as patch:
        for length in (1, 3, 7) if len(body) < 10_000 else ():
            patch.setattr(json_body, "_CHUNK", length)
            assert outcome(parse_json, body) == expected


@settings(max_examples=600, deadline=None)
@given(bodies())
@example('{"a":1,"a":2}')
@example('{"a" :1,"a":"\\":"}')
@example('{"\\u0061":1,"a":":"}')
@example('{"a":"x\\u0022:","a":"y\\u0022:"}')
@example('{"a":"\\"\\u003a","b":1,"b":":"}')
@example('{"a": 12345678901234567890123}')
@example("[-9223372036854775809]")
@example("18446744073709551616")
@example("[1e400, -1e400, 1e-400, -0, -0.0, 98.60, 1E5]")
@example('{"id":"2.25.329800735698586629295641978511506172918","":{"":{"":1}}}')
def test_a_body_is_read_as_the_standard_library_reads_it(body: str) -> None:
    same(body.encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]":,1e-. \\u'), max_size=12))
@example("")
@example("\ufeff{}")
@example('{"a":1}x')
@example("NaN")
@example("[Infinity]")
@example('"\x01"')
@example("1" * 5000)
def test_a_body_that_is_no_json_is_refused_in_the_same_words(body: bytes | str) -> None:
    same(body.encode() if isinstance(body, str) else body)


@pytest.mark.parametrize("depth", [200, 254, 255, 256, 500, 100_000])
def test_depth_ends_where_it_ended(depth: int) -> None:
    same(b"[" * depth + b"]" * depth)
    same(b'{"a":' * depth + b"1" + b"}" * depth)


@pytest.mark.parametrize(
    "body",
    [
        '{"text":"BP : 120/80","id":"12345678901234567890"}',
        '{"text":"he said \\"no\\": 3 times","path":"C:\\\\"}',
        '{"oid":"urn:oid:2.25.329800735698586629295641978511506172918"}',
        '{"half":0.12345678901234567890}',
        '[{"a":1},{"a":2}]',
    ],
)
def test_usual_bodies_take_the_fast_way(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "parse_exactly", lambda _: pytest.fail("the slow way"))
    assert parse_json(body.encode()) == json.loads(body)


def test_values_are_counted_before_anything_is_read() -> None:
    with pytest.raises(BadRequest, match="more than 4 values"):
        parse_json(b"[{},[],1,2", most_values=4)
    assert parse_json(b"[{},[]]", most_values=4) == [{}, []]


def test_the_collector_runs_again_whatever_was_read() -> None:
    for body in (b"{}", b"{", b'{"a":1,"a":1}'):
        outcome(parse_json, body)
        assert gc.isenabled()
