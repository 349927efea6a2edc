"""Second implementation of the envelope format, to check the vectors beside it. Needs the package `cryptography`.

Prints one line a vector and `N passed, M failed`; the exit status is 1 when any failed.
"""

import base64
import binascii
import hashlib
import hmac
import json
import pathlib
import re
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CONTEXT_TEXTS = ["cluster", "org", "ns", "name", "iss", "sub", "server", "slot"]
EXPECTED = CONTEXT_TEXTS[:-1]
ENDS = ["exp", "det"]
END_MAX = 253402300799999


class Refused(Exception):
    """The code without its prefix."""


def jcs(value):
    """RFC 8785 for what headers are made of: objects with ASCII names, strings, integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def mac256(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand32(prk, info):
    return mac256(prk, info, b"\x01")


def b64(text, length=None):
    if not isinstance(text, str):
        raise Refused("HEADER_MALFORMED")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("HEADER_MALFORMED") from None
    if base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise Refused("HEADER_MALFORMED")
    return data


def only(fields, required, optional=()):
    if not isinstance(fields, dict):
        raise Refused("HEADER_MALFORMED")
    if set(fields) - set(required) - set(optional):
        raise Refused("FIELD_UNKNOWN")
    if set(required) - set(fields):
        raise Refused("HEADER_MALFORMED")


def whole_if_it_is(text):
    return int(float(text)) if float(text).is_integer() else float(text)


def are_ends(ends, slot):
    fits = all(isinstance(end, int) and 0 <= end <= END_MAX for end in ends)
    return fits and len(ends) == len(slot.split(",")) and any(ends)


def parse(raw):
    if len(raw) > 4096:
        raise Refused("HEADER_TOO_LARGE")
    try:
        # RFC 8785 writes 7.0 as 7.
        header = json.loads(raw.decode("utf-8"), parse_float=whole_if_it_is)
    except ValueError:
        raise Refused("HEADER_MALFORMED") from None
    if not isinstance(header, dict):
        raise Refused("HEADER_MALFORMED")
    if header.get("v") != 1 or not isinstance(header["v"], int):
        raise Refused("VERSION_UNKNOWN")
    if header.get("suite") != "A256GCM-HKDF-SHA256-HC1":
        raise Refused("SUITE_UNKNOWN")
    only(header, ["v", "suite", "ctx", "salt", "commit", "keks", "created", "mac"])
    ctx, keks = header["ctx"], header["keks"]
    only(ctx, [*CONTEXT_TEXTS, "gen"], ENDS)
    for name in ENDS:
        ends = ctx.get(name, [])
        if not isinstance(ends, list) or not all(isinstance(end, (int, float)) for end in ends):
            raise Refused("HEADER_MALFORMED")
    for name in ("salt", "commit", "mac"):
        b64(header[name], 32)
    if not isinstance(keks, list) or not 1 <= len(keks) <= 4:
        raise Refused("HEADER_MALFORMED")
    for kek in keks:
        only(kek, ["p", "kid", "wk"], ["ann"])
        b64(kek["wk"])
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", header["created"]):
        raise Refused("HEADER_MALFORMED")
    gen = ctx["gen"]
    if not isinstance(gen, int):
        raise Refused("HEADER_MALFORMED")
    if gen < 1 or any(ctx[name] == "" for name in CONTEXT_TEXTS):
        raise Refused("CONTEXT_INVALID")
    if any(not are_ends(ctx[name], ctx["slot"]) for name in ENDS if name in ctx):
        raise Refused("CONTEXT_INVALID")
    if jcs(header) != raw:
        raise Refused("HEADER_MALFORMED")
    return header


def gcm_open(key, sealed, aad):
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], aad)
    except InvalidTag:
        raise Refused("NOT_AUTHENTIC") from None


def unwrap(header, keks, digest):
    for wrapped in header["keks"]:
        if wrapped["p"] == "local" and wrapped["kid"] in keks:
            blob = b64(wrapped["wk"])
            key = mac256(keks[wrapped["kid"]], b"uke/v1/local-wrap", blob[:16])
            return gcm_open(key, blob[16:], digest + wrapped["kid"].encode())
    raise Refused("KEK_UNKNOWN")


def read_list(payload):
    at = 0

    def take(length):
        nonlocal at
        if at + length > len(payload):
            raise Refused("PAYLOAD_MALFORMED")
        at += length
        return payload[at - length : at]

    if take(1) != b"\x01":
        raise Refused("PAYLOAD_MALFORMED")
    fields = []
    for _ in range(take(1)[0]):
        name = take(take(1)[0]).decode("latin-1")
        fields.append((name, take(int.from_bytes(take(2), "big"))))
    padding = payload[at:]
    if len(padding) >= 64 or len(payload) % 64 or any(padding):
        raise Refused("PAYLOAD_MALFORMED")
    return fields


def open_envelope(vector):
    header = parse(vector["header"])
    ctx = header["ctx"]
    if any(ctx[name] != vector["expected"][name] for name in EXPECTED):
        raise Refused("CONTEXT_MISMATCH")
    length = len(vector["ciphertext"]) - 28
    if length < 64 or length > 65536 or length % 64:
        raise Refused("CIPHERTEXT_LENGTH")
    digest = hashlib.sha256(jcs(ctx)).digest()
    prk = mac256(b64(header["salt"]), unwrap(header, vector["keks"], digest))
    unsigned = {name: value for name, value in header.items() if name != "mac"}
    if mac256(expand32(prk, b"uke/v1/mac"), jcs(unsigned)) != b64(header["mac"]):
        raise Refused("NOT_AUTHENTIC")
    if expand32(prk, b"uke/v1/commit" + digest) != b64(header["commit"]):
        raise Refused("NOT_AUTHENTIC")
    aad = jcs({name: header[name] for name in ("v", "suite", "ctx", "salt", "commit")})
    payload = gcm_open(expand32(prk, b"uke/v1/enc" + digest), vector["ciphertext"], aad)
    return payload, read_list(payload)


def read_vector(path):
    lines = [line.partition(": ") for line in path.read_text().splitlines()]
    every = lambda key: [value for name, _, value in lines if name == key]
    return {
        "expect": every("expect")[0],
        "keks": {line.split(" ")[0]: bytes.fromhex(line.split(" ")[1]) for line in every("kek")},
        "expected": json.loads(every("expected")[0]),
        "header": base64.b64decode(every("header")[0]),
        "ciphertext": base64.b64decode(every("ciphertext")[0]),
        "payload": [bytes.fromhex(value) for value in every("payload")],
        "fields": [(line.split(" ")[0], bytes.fromhex(line.split(" ")[1])) for line in every("field")],
    }


def agrees(vector):
    try:
        payload, fields = open_envelope(vector)
    except Refused as refused:
        outcome = "ERR_ENVELOPE_" + str(refused)
        return outcome == vector["expect"], outcome
    same = vector["expect"] == "success" and [payload] == vector["payload"] and fields == vector["fields"]
    return same, "success"


def main():
    counts = {True: 0, False: 0}
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        good, outcome = agrees(read_vector(path))
        counts[good] += 1
        print(f"{'ok  ' if good else 'FAIL'} {path.stem}: {outcome}")
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 0 if counts[True] > 0 and counts[False] == 0 else 1


sys.exit(main())
