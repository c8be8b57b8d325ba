"""Keys: those of services, known by their prefix, and private keys in PEM blocks.

Sources: the formats that the services themselves document for secret scanners (AWS IAM identifiers; GitHub, "Behind
GitHub's new authentication token formats", 2021; GitLab, Stripe, Slack, Google, SendGrid, npm, PyPI, Hugging Face …);
JSON web tokens, RFC 7519; PEM, RFC 7468. Entropy of quoted strings (off by default, meant for code) after Yelp's
detect-secrets, whose limits BigCode took over (Allal et al. 2023, arXiv:2301.03988, section 4.3).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Mapping

_W = rb"[A-Za-z0-9_-]"
_A = rb"[A-Za-z0-9]"
# What a token begins with -> the whole of it.
_PREFIXES: Mapping[bytes, bytes] = {
    b"AKIA": rb"[A-Z2-7]{16}", b"ASIA": rb"[A-Z2-7]{16}", b"ABIA": rb"[A-Z2-7]{16}", b"ACCA": rb"[A-Z2-7]{16}",
    b"ghp_": _A + rb"{36}", b"gho_": _A + rb"{36}", b"ghu_": _A + rb"{36}", b"ghs_": _A + rb"{36}",
    b"ghr_": _A + rb"{36,76}", b"github_pat_": rb"[A-Za-z0-9_]{82}",
    b"glpat-": _W + rb"{20,64}", b"gldt-": _W + rb"{20,64}", b"glrt-": _W + rb"{20,64}",
    b"sk_live_": _A + rb"{16,247}", b"rk_live_": _A + rb"{16,247}", b"sk_test_": _A + rb"{16,247}",
    b"whsec_": rb"[A-Za-z0-9+/]{32,64}",
    b"sk-ant-": _W + rb"{32,160}", b"sk-proj-": _W + rb"{40,200}", b"sk-svcacct-": _W + rb"{40,200}",
    b"sk-or-v1-": rb"[0-9a-f]{64}", b"sk-": _A + rb"{20}T3BlbkFJ" + _A + rb"{20}",
    b"xoxb-": rb"[0-9]{8,14}-[A-Za-z0-9-]{12,80}", b"xoxp-": rb"[0-9]{8,14}-[A-Za-z0-9-]{12,80}",
    b"xoxa-": rb"[A-Za-z0-9-]{20,90}", b"xoxr-": rb"[A-Za-z0-9-]{20,90}", b"xoxs-": rb"[A-Za-z0-9-]{20,90}",
    b"xoxe-": rb"[A-Za-z0-9-]{20,180}", b"xapp-": rb"[0-9]-[A-Z0-9]{8,12}-[0-9]{8,14}-[a-f0-9]{32,80}",
    b"AIza": _W + rb"{35}", b"GOCSPX-": _W + rb"{28}",
    b"npm_": _A + rb"{36}", b"pypi-AgE": _W + rb"{50,300}", b"hf_": rb"[A-Za-z]{34}", b"api_org_": rb"[A-Za-z]{34}",
    b"dop_v1_": rb"[0-9a-f]{64}", b"doo_v1_": rb"[0-9a-f]{64}", b"dor_v1_": rb"[0-9a-f]{64}",
    b"shpat_": rb"[0-9a-fA-F]{32}", b"shpss_": rb"[0-9a-fA-F]{32}", b"shpca_": rb"[0-9a-fA-F]{32}",
    b"shppa_": rb"[0-9a-fA-F]{32}", b"key-": rb"[0-9a-f]{32}", b"dapi": rb"[0-9a-f]{32}(?:-[0-9])?",
    b"gsk_": _A + rb"{52}", b"r8_": _A + rb"{37}", b"nvapi-": _W + rb"{64}", b"lin_api_": _A + rb"{40}",
    b"tfp_": _A + rb"{59}", b"figd_": _W + rb"{40}", b"sbp_": rb"[0-9a-f]{40}", b"rubygems_": rb"[0-9a-f]{48}",
    b"xkeysib-": rb"[0-9a-f]{64}-" + _A + rb"{16}", b"PMAK-": rb"[0-9a-f]{24}-[0-9a-f]{34}",
    b"AGE-SECRET-KEY-1": rb"[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
}  # fmt: skip
ANCHORS = tuple(sorted({prefix[:3] for prefix in _PREFIXES} | {b"eyJ"}))
"""The first three bytes of every key that begins with letters of its own."""
_TOKENS = {
    prefix: re.compile(rest + rb"(?![A-Za-z0-9_-])")
    for prefix, rest in sorted(_PREFIXES.items(), key=lambda item: -len(item[0]))
}

# Keys whose beginning is no token: what stands before -> the rest from the token on.
_BEHIND = (
    (re.compile(rb"\bSG\.\Z"), re.compile(_W + rb"{20,24}\." + _W + rb"{39,50}(?![A-Za-z0-9_-])")),
    (re.compile(rb"\bya29\.\Z"), re.compile(_W + rb"{20,512}(?![A-Za-z0-9_-])")),
    (re.compile(rb"\bhvs\.\Z"), re.compile(_W + rb"{24,200}(?![A-Za-z0-9_-])")),
    (re.compile(rb"(?<![0-9])[0-9]{8,10}:\Z"), re.compile(rb"AA" + _W + rb"{33}(?![A-Za-z0-9_-])")),
    (
        re.compile(rb"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Z0-9]{8,14}/[A-Z0-9]{8,14}/\Z"),
        re.compile(_A + rb"{24}(?![A-Za-z0-9_-])"),
    ),
    (
        re.compile(rb"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/[0-9]{17,20}/\Z"),
        re.compile(_W + rb"{60,80}(?![A-Za-z0-9_-])"),
    ),
)
_WEB_TOKEN = re.compile(
    rb"eyJ" + _W + rb"{10,2048}\.eyJ" + _W + rb"{8,4096}\.(?:" + _W + rb"{16,1024})?(?![A-Za-z0-9_-])"
)
_MIN_DISTINCT = 7  # characters of a key's random part: `ghp_xxxxxxxx…` is how documentation shows one
_EXAMPLE = re.compile(rb"(?i)example|sample|dummy|placeholder|your|xxxxx|00000|abcdef|12345678|changeme|redacted")

WINDOW_BYTES = 6144
"""How much of the document the end of a web token may be looked for in."""
FRONT_BYTES = 112
"""How much of it before a token; a webhook's address is in there."""


def secret_bounds(token: bytes, before: bytes, after: bytes) -> tuple[int, int] | None:
    """Where a key stands that begins in `token` or right before it: its first byte from the token's, and its end.

    Examples of documentation (`AKIAIOSFODNN7EXAMPLE`) are none.

    >>> secret_bounds(b"npm" + b"_q7Xc2LmRz0VtB9sYhK4eWn1GdPu8JfAoC3iE", b"", b""), secret_bounds(b"npm_x", b"", b"")
    ((0, 40), None)
    """
    rest = token + after
    if token.startswith(b"eyJ"):
        match = _WEB_TOKEN.match(rest)
        return (0, match.end()) if match is not None and _is_header(rest[: rest.index(b".")]) else None
    for prefix, pattern in _TOKENS.items():
        if token.startswith(prefix):
            match = pattern.match(rest, len(prefix))
            if match is not None:
                return (0, match.end()) if _is_random(match.group()) else None
    for front, back in _BEHIND:
        opening = front.search(before)
        match = back.match(rest) if opening is not None else None
        if opening is not None and match is not None and _is_random(match.group()):
            return opening.start() - len(before), match.end()
    return None


def _is_random(secret: bytes) -> bool:
    return len(set(secret)) >= _MIN_DISTINCT and _EXAMPLE.search(secret) is None


def _is_header(segment: bytes) -> bool:
    """Whether the first part of a web token is an object that names an algorithm."""
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header


PEM_BYTES = 16_384
"""How long a private key may be."""
_PEM_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(rb"(?:[A-Za-z0-9+/=\s\\\"',.:;()#*>]|-(?!----))*(?:-----END [A-Z0-9 ]{0,40}-----)?")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]{16,}")
_MIN_KEY = 48  # characters in base64: an Ed25519 key in PKCS #8 has 64


def pem_bounds(window: bytes) -> tuple[int, int] | None:
    """Where a private key's block stands that begins where `window` does; None if there is no key in it.

    >>> pem_bounds(b"-----BEGIN PRIVATE KEY-----\\n...\\n-----END PRIVATE KEY-----") is None
    True
    """
    begin = _PEM_BEGIN.match(window)
    if begin is None:
        return None
    body = _PEM_BODY.match(window, begin.end())
    if body is None or sum(map(len, _BASE64.findall(body.group()))) < _MIN_KEY:
        return None
    return 0, body.end() if body.group().endswith(b"-----") else begin.end() + _last_line(body.group())


def _last_line(body: bytes) -> int:
    """Where the key's last line ends in a body that lacks its END: prose may follow."""
    end = 0
    for line in _BASE64.finditer(body):
        end = line.end()
    return end


_SECRET_NAME = re.compile(
    rb"(?i)(?:secret|(?<!publickey)token|passw(?:or)?d|passphrase|api_?key|access_?key|auth_?key|private_?key|credentials?)"
    rb"[A-Za-z0-9_-]{0,16}[\"']?\]?\s{0,4}(?::|=>?|,)\s{0,4}[bru]?[\"'`]\Z"
)
QUOTED_BYTES = 512
_QUOTED = re.compile(rb"[A-Za-z0-9_+/=.~-]{16,512}(?=[\"'`])")
_HEXADECIMAL = re.compile(rb"(?:0x)?[0-9a-fA-F]++\Z")
_HEX_SHARE = 3 / 4.5
"""detect-secrets asks 3.0 bits of hexadecimal strings and 4.5 of base64."""


def random_string_bounds(token: bytes, before: bytes, after: bytes, min_entropy: float) -> tuple[int, int] | None:
    """Where a quoted string stands that begins with `token`, is given to a secret's name, and looks random.

    >>> random_string_bounds(b"Zx81kq0Vw3LmP9Ru", b"api_key = '", b"'", 3.0)
    (0, 16)
    """
    if _SECRET_NAME.search(before) is None:
        return None
    match = _QUOTED.match(token + after)
    if match is None or _EXAMPLE.search(match.group()) is not None:
        return None
    needed = min_entropy * _HEX_SHARE if _HEXADECIMAL.match(match.group()) else min_entropy
    return (0, match.end()) if entropy(match.group()) >= needed else None


def entropy(text: bytes) -> float:
    """Shannon's entropy of the bytes' frequencies, in bits a byte.

    >>> entropy(b"aabb")
    1.0
    """
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
