"""Standard Webhooks: the vector of the contract, the vendor's own verifier, and every spoilt byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import InvalidWebhookSignatureError, OpenAI

from orchestrator.domain.adapters.signature import (
    ID,
    SIGNATURE,
    TIMESTAMP,
    TOLERANCE,
    Doubt,
    doubt,
    secrets_of,
    signed,
)
from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import ConfigurationError

VECTOR = json.loads(
    (Path(__file__).parents[1] / "contracts" / "webhook-signature-vector.json").read_text()
)
KEYS = secrets_of(VECTOR["secret"], "the vector")
BODY = VECTOR["payload"].encode()
SENT_AT = datetime.fromtimestamp(int(VECTOR["headers"][TIMESTAMP]), UTC)
VENDOR = OpenAI(api_key="sk-no-request-is-made").webhooks
ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)


def secret(key: bytes) -> str:
    return f"whsec_{base64.b64encode(key).decode()}"


def vendor_believes(keys: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        VENDOR.verify_signature(body, dict(headers), secret=secret(keys))
    except (InvalidWebhookSignatureError, ValueError):
        return False
    return True


def test_the_vector_of_the_contract():
    assert doubt(KEYS, VECTOR["headers"], BODY, SENT_AT) is None
    assert signed(KEYS[0], VECTOR["headers"][ID], SENT_AT, BODY) == VECTOR["headers"]


def test_no_byte_of_it_can_be_changed():
    for place in range(len(BODY)):
        for bit in range(8):
            spoilt = bytearray(BODY)
            spoilt[place] ^= 1 << bit
            assert doubt(KEYS, VECTOR["headers"], bytes(spoilt), SENT_AT) is Doubt.FORGED
    for name, value in VECTOR["headers"].items():
        for place in range(len(value)):
            changed = chr(ord(value[place]) ^ 1)
            headers = VECTOR["headers"] | {name: value[:place] + changed + value[place + 1 :]}
            assert doubt(KEYS, headers, BODY, SENT_AT) is not None, headers


@given(key=st.binary(min_size=24, max_size=64), message=ids, body=st.text(max_size=300))
def test_the_vendor_believes_what_we_sign(key, message, body):
    now = SystemClock().now()
    headers = signed(key, message, now, body.encode())
    assert vendor_believes(key, headers, body.encode())
    assert doubt([key], headers, body.encode(), now) is None


@settings(max_examples=300)
@given(
    key=st.binary(min_size=24, max_size=24),
    other=st.binary(min_size=24, max_size=24),
    place=st.integers(0, 10_000),
    bit=st.integers(0, 7),
    part=st.sampled_from(["body", ID, TIMESTAMP, SIGNATURE, "key"]),
)
def test_what_the_vendor_refuses_is_refused(key, other, place, bit, part):
    now = SystemClock().now()
    body = b'{"type":"fine_tuning.job.succeeded","data":{"id":"ftjob-1"}}'
    headers = signed(key, "wh_1", now, body)
    if part == "key":
        key = other
    elif part == "body":
        spoilt = bytearray(body)
        spoilt[place % len(body)] ^= 1 << bit
        body = bytes(spoilt)
    else:
        value = headers[part]
        at = place % len(value)
        headers[part] = value[:at] + chr(ord(value[at]) ^ (1 << (bit % 7))) + value[at + 1 :]
    if doubt([key], headers, body, now) is None:
        assert vendor_believes(key, headers, body)


def test_an_event_that_we_sign_is_unwrapped_by_the_vendor():
    headers = signed(KEYS[0], "wh_1", SystemClock().now(), BODY)
    event = VENDOR.unwrap(BODY, headers, secret=VECTOR["secret"])
    assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", "ftjob-abc123")  # type: ignore[union-attr]


def test_either_side_may_change_its_secret():
    old, new = KEYS[0], b"n" * 32
    headers = signed(old, "wh_1", SENT_AT, BODY)
    both = f"{signed(new, 'wh_1', SENT_AT, BODY)[SIGNATURE]} {headers[SIGNATURE]} v1a,x"
    assert doubt([new], headers, BODY, SENT_AT) is Doubt.FORGED
    assert doubt([new, old], headers, BODY, SENT_AT) is None
    assert doubt([new], headers | {SIGNATURE: both}, BODY, SENT_AT) is None
    found = secrets_of(f"{secret(new)} ,{secret(old)}\n", "X")
    assert found == (new, old)


@pytest.mark.parametrize("late", [TOLERANCE, -TOLERANCE])
def test_a_recording_is_stale(late: timedelta):
    assert doubt(KEYS, VECTOR["headers"], BODY, SENT_AT + late) is None
    beyond = (
        SENT_AT + late + (timedelta(seconds=1) if late > timedelta() else -timedelta(seconds=1))
    )
    assert doubt(KEYS, VECTOR["headers"], BODY, beyond) is Doubt.STALE


@pytest.mark.parametrize(
    "change",
    [
        {ID: ""},
        {ID: "a b"},
        {ID: "x" * 256},
        {TIMESTAMP: ""},
        {TIMESTAMP: "-1"},
        {TIMESTAMP: "1e9"},
        {TIMESTAMP: "٣"},
        {TIMESTAMP: "9" * 400},
        {SIGNATURE: ""},
    ],
)
def test_headers_that_are_none_are_malformed(change):
    assert doubt(KEYS, VECTOR["headers"] | change, BODY, SENT_AT) is Doubt.MALFORMED


@pytest.mark.parametrize("mark", ["v1,", "v1,é", "v2,AAAA", "v1", "v1,AAAA " * 500, ",", "v1,="])
def test_signatures_that_are_none_are_no_signature(mark):
    headers = VECTOR["headers"] | {SIGNATURE: mark}
    assert doubt(KEYS, headers, BODY, SENT_AT) is Doubt.FORGED


@pytest.mark.parametrize("text", ["sk-1", "whsec_=", "whsec_!!!!", "whsec_AAAA", "AAAA" * 8])
def test_a_secret_that_is_none_is_refused_and_not_shown(text):
    with pytest.raises(ConfigurationError, match="OPENAI_WEBHOOK_SECRET") as caught:
        secrets_of(text, "OPENAI_WEBHOOK_SECRET")
    assert text not in str(caught.value)
