"""What makes a candidate personal data: one validator for each kind, called on candidates only.

Each gets the candidate's bytes and a bounded piece of the document on either side, so a call takes bounded time
whatever the text. Patterns are the standard library's, and unambiguous, so that they take linear time; no possessive
quantifiers, which Python below 3.11.4 gets wrong (CPython #106052). On pieces this short a search takes google-re2 4.7
µs and `re` 0.3.

Sources: email, RFC 5321 (lengths) and RFC 3696 (a top-level domain is not numeric); IP addresses, IANA's
special-purpose registries through `ipaddress`; cards, ISO/IEC 7812-1 (Luhn) and the networks' published issuer
ranges; IBAN, ISO 13616 and SWIFT's registry of formats; SSN, what the Social Security Administration never assigns
(since 2011). Phone numbers, other countries' numbers of persons, keys and crypto-currencies have files of their own.
"""

from __future__ import annotations

import ipaddress
import re
from functools import cache, lru_cache

from corpusmill.filters.pii_phones import goes_on

CONTEXT_BYTES = 48
"""How much of the document a validator may see on either side of its candidate."""
_WORD_BYTES = 32  # how far away a word that says what a number is may stand

# A word of a script written without spaces runs into an address: `请联系zhang@example.com`.
_SOLO = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ATOM = rf"(?:(?![{_SOLO}])[\w%+&'-])"
_LOCAL = re.compile(rf"(?:(?![{_SOLO}])\w){_ATOM}*(?:\.{_ATOM}+)*\Z")
_UNSPACED_LOCAL = re.compile(r"[\w%+&'-]+(?:\.[\w%+&'-]+)*\Z")
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_TLD = r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24}|(?:(?![\x00-\x7f])[^\W\d_]){2,24})"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.){{1,8}}{_TLD}(?![A-Za-z0-9_])")
_MAX_LOCAL, _MAX_DOMAIN = 64, 253  # octets
# `logo@2x.png`: names of files that are no top-level domains.
FILE_SUFFIXES = frozenset(
    {"bmp", "css", "gif", "htm", "html", "ico", "jpeg", "jpg", "js", "json"}
    | {"min", "pdf", "php", "png", "svg", "txt", "webp", "xml", "yaml", "yml"}
)


@lru_cache(maxsize=8192)  # the same addresses stand again and again in mail, forums and notices
def email_bounds(candidate: bytes, following: bytes) -> tuple[int, int] | None:
    """Where around the `@` of a candidate an address stands: its first byte and the byte after its last.

    `following` is the byte behind the candidate, or empty.

    >>> email_bounds(b"to-ann.lee+x@mail.example.org.", b" ")
    (0, 29)
    >>> email_bounds(b"logo@2x.png", b" ") is None
    True
    """
    local_bytes, _, domain_bytes = candidate.partition(b"@")
    local, domain = local_bytes.decode(errors="ignore"), domain_bytes.decode(errors="ignore")
    front = _LOCAL.search(local) or _UNSPACED_LOCAL.search(local)
    back = _DOMAIN.match(domain)
    if front is None or back is None:
        return None
    name, host = front.group().encode(), back.group().encode()
    if len(name) > _MAX_LOCAL or len(host) > _MAX_DOMAIN or back.group().rpartition(".")[2].lower() in FILE_SUFFIXES:
        return None
    if name == b"git" and following == b":":  # an SSH remote, `git@host:path`
        return None
    return len(local_bytes) - len(name), len(local_bytes) + 1 + len(host)


_VERSION_NOUNS = (
    "v", "ver", "vers", "version", "versions", "release", "releases", "rel", "rev", "revision", "build", "firmware",
    "kernel", "patch", "update", "upgrade", "upgraded", "upgrades", "section", "sections", "sec", "sect", "subsection",
    "chapter", "chapters", "ch", "clause", "clauses", "article", "articles", "art", "paragraph", "paragraphs", "para",
    "appendix", "annex", "figure", "figures", "fig", "table", "tables", "rule", "rules", "oid", "theorem", "lemma",
    "definition", "equation", "eq", "exercise", "example", "step", "item",
)  # fmt: skip
_VERSION_FILLERS = ("number", "no", "is", "was", "to")
VERSION_WORDS = (*_VERSION_NOUNS, *_VERSION_FILLERS)
_VERSION_BEFORE = re.compile(
    rf"(?i)(?:(?<![A-Za-z0-9.@_-])(?:{'|'.join(_VERSION_NOUNS)})|\xc2\xa7{{1,2}})"
    rf"(?:\s+(?:{'|'.join(_VERSION_FILLERS)}))?[\s.:=#(\[\"'-]{{0,3}}\Z".encode("latin-1")
)
_GLUED_BEFORE = re.compile(rb"[A-Za-z0-9_][-.+~]?\Z|[.\\]\Z|[A-Za-z]/\Z|[\x80-\xff]\Z")  # also `Browser/1.2.3.4`
_GLUED_AFTER = re.compile(rb"[A-Za-z0-9_\\]|[-.+~][A-Za-z0-9]")
# Legal and technical texts are full of section numbers of four levels: small numbers, of which one is next to nothing.
# Of random addresses 0.2 % look like that; they count where a word or a sign of networks stands beside them.
_SECTION_PARTS, _FIRST_PARTS = 64, 3
_NETWORK_BEFORE = re.compile(
    rb"(?i)\b(?:ip|ipv4|tcp|udp|dns|inet|host|hosts|hostname|server|servers|addr|address|addresses|ping|gateway|router|"
    rb"route|nameserver|resolver|proxy|peer|client|connect|connected|connecting|network|subnet|login|logged|remote|ssh|"
    rb"telnet|ftp|vpn)\b|(?:://|@)\Z|[A-Za-z0-9-]\.[A-Za-z]{2,6}\s*[(\[]{0,2}\Z"
)
_NETWORK_AFTER = re.compile(rb"(?i):[0-9]{2,5}\b|/[0-9]{1,2}\b|.{0,24}\b(?:ip|address|dns|server|host|port)\b")


def is_public_ipv4(candidate: bytes, before: bytes, after: bytes) -> bool:
    """Whether four dotted numbers are the address of a host on the internet rather than a version or a section.

    >>> is_public_ipv4(b"203.119.4.4", b"from ", b""), is_public_ipv4(b"203.119.4.4", b"Version ", b"")
    (True, False)
    >>> is_public_ipv4(b"12.1.1.5", b"see ", b""), is_public_ipv4(b"12.1.1.5", b"see ", b":8080")
    (False, True)
    """
    parts = _public_parts(candidate)
    if not parts:
        return False
    if _GLUED_BEFORE.search(before) or _GLUED_AFTER.match(after) or _VERSION_BEFORE.search(before):
        return False
    if max(parts) < _SECTION_PARTS and min(parts) <= _FIRST_PARTS:
        return _NETWORK_BEFORE.search(before[-_WORD_BYTES:]) is not None or _NETWORK_AFTER.match(after) is not None
    return True


RESERVED_NETWORKS = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
"""Networks of IANA's special-purpose registry none of whose addresses is public, and multicast."""


@lru_cache(maxsize=8192)
def _public_parts(candidate: bytes) -> bytes:
    """The four numbers of a public IPv4 address; nothing for another or none."""
    try:
        address = ipaddress.IPv4Address(candidate.decode("ascii"))
    except ValueError:
        return b""
    return address.packed if address.is_global and not address.is_multicast else b""


def is_public_ipv6(candidate: bytes, before: bytes, after: bytes) -> bool:
    """Whether groups of hexadecimal digits are a public address.

    Beyond the registries: there are at least three groups, one of them of three digits or more, and a decimal digit, so
    that `a::b` (a name in C++ or Perl) and hardware addresses are none.

    >>> is_public_ipv6(b"2a00:1450:4001:81b::200e", b"", b""), is_public_ipv6(b"dead::beef", b"", b"x")
    (True, False)
    """
    try:
        address = ipaddress.IPv6Address(candidate.decode("ascii"))
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or (before and (before[-1:].isalnum() or before[-1] in b":._")):
        return False
    if after and (after[:1].isalnum() or after[0] in b":_"):
        return False
    groups = [group for group in candidate.split(b":") if group]
    return len(groups) >= 3 and max(map(len, groups)) >= 3 and any(byte in b"0123456789" for byte in candidate)


def luhn_holds(digits: bytes) -> bool:
    """Whether the last digit is right by ISO/IEC 7812-1.

    >>> luhn_holds(b"4111111111111111"), luhn_holds(b"4111111111111112")
    (True, False)
    """
    total = 0
    for place, byte in enumerate(reversed(digits)):
        digit = byte - 48
        if place % 2:
            digit = digit * 2 - 9 * (digit > 4)
        total += digit
    return total % 10 == 0


# First and last issuer prefix of a network, and the lengths of its numbers.
_NETWORKS = (
    ("4", "4", (16, 19)),  # Visa; 13 only after a word such as "card": it is no longer issued and looks like an EAN
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("300", "305", (14, 16)),  # Diners Club
    ("36", "36", (14, 16)),
    ("38", "39", (14, 16)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("3528", "3589", (16, 19)),  # JCB
    ("2200", "2204", (16, 19)),  # Mir
)
_NAMED_NETWORKS = (
    ("4", "4", (13,)),
    ("1800", "1800", (15,)),  # JCB
    ("2131", "2131", (15,)),
    ("50", "50", tuple(range(12, 20))),  # Maestro
    ("56", "69", tuple(range(12, 20))),
    ("0604", "0604", tuple(range(12, 20))),
    ("35", "35", (16,)),  # generators of JCB numbers do not keep to 3528 and above
)
_CARD_WORD = re.compile(
    rb"(?i)\b(?:cards?|card (?:number|no)|visa|master ?card|amex|american express|discover|diners|jcb|maestro|unionpay|"
    rb"credit|debit|cc|ccn?um|pan|payment)\b"
)
# A number without groups and without a word: 17 to 19 digits are what random seeds and hashes have.
_PLAIN_LENGTHS = (15, 16)
_CALL_BEFORE = re.compile(rb"[A-Za-z0-9_]\(\Z")
_CARD_GROUPS = {(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4)}
_INSIDE_BEFORE = re.compile(rb"[A-Za-z0-9_.,/\\#&%@$+=-]\Z|[\x80-\xff]\Z")
_INSIDE_AFTER = re.compile(rb"[A-Za-z0-9_\\@%]|[-.,/:][A-Za-z0-9]")
CARD_SHAPES: frozenset[tuple[int, ...]] = frozenset(_CARD_GROUPS | {(length,) for length in range(12, 20)})


def is_card(candidate: bytes, before: bytes, after: bytes) -> bool:
    """Whether digits are a payment card's number.

    >>> is_card(b"4111 1111 1111 1111", b"pay with ", b"."), is_card(b"4111 1111 1111 1112", b"pay with ", b".")
    (True, False)
    """
    groups = tuple(map(len, re.findall(rb"\d+", candidate)))
    separators = set(re.findall(rb"\D+", candidate))
    if len(groups) > 1 and (len(separators) > 1 or not separators <= {b" ", b"-", b"\xc2\xa0"}):
        return False
    digits = bytes(byte for byte in candidate if 48 <= byte <= 57)
    if not luhn_holds(digits) or len(set(digits)) < 2:
        return False
    named = _CARD_WORD.search(before[-_WORD_BYTES:]) is not None
    if not named and len(groups) == 1 and (len(digits) not in _PLAIN_LENGTHS or _CALL_BEFORE.search(before)):
        return False
    if not _issued(digits.decode(), _NETWORKS) and not (named and _issued(digits.decode(), _NAMED_NETWORKS)):
        return False
    if _INSIDE_AFTER.match(after) or (_INSIDE_BEFORE.search(before) and not (named and before[-1:] in b"#=-,")):
        return False
    return not (separators and goes_on(before, after, separators.pop(), same_length=4))


def _issued(digits: str, networks: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bool:
    return any(first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in networks)


# SWIFT's registry of IBAN formats: country -> what follows the check digits; n digits, a capitals, c either.
IBAN_FORMATS = {
    "AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n", "BE": "12n", "BG": "4a6n8c",
    "BH": "4a14c", "BI": "23n", "BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c", "CR": "18n", "CY": "8n16c",
    "CZ": "20n", "DE": "18n", "DJ": "23n", "DK": "14n", "DO": "4c20n", "EE": "16n", "EG": "25n", "ES": "20n",
    "FI": "14n", "FK": "2a12n", "FO": "14n", "FR": "10n11c2n", "GB": "4a14n", "GE": "2a16n", "GI": "4a15c",
    "GL": "14n", "GR": "7n16c", "GT": "24c", "HN": "4a20n", "HR": "17n", "HU": "24n", "IE": "4a14n", "IL": "19n",
    "IQ": "4a15n", "IS": "22n", "IT": "1a10n12c", "JO": "4a4n18c", "KW": "4a22c", "KZ": "3n13c", "LB": "4n20c",
    "LC": "4a24c", "LI": "5n12c", "LT": "16n", "LU": "3n13c", "LV": "4a13c", "LY": "21n", "MC": "10n11c2n",
    "MD": "20c", "ME": "18n", "MK": "3n10c2n", "MN": "16n", "MR": "23n", "MT": "4a5n18c", "MU": "4a19n3a",
    "NI": "4a20n", "NL": "4a10n", "NO": "11n", "OM": "3n16c", "PK": "4a16c", "PL": "24n", "PS": "4a21c", "PT": "21n",
    "QA": "4a21c", "RO": "4a16c", "RS": "18n", "RU": "14n15c", "SA": "2n18c", "SC": "4a20n3a", "SD": "14n",
    "SE": "20n", "SI": "15n", "SK": "20n", "SM": "1a10n12c", "SO": "19n", "ST": "21n", "SV": "4a20n", "TL": "19n",
    "TN": "20n", "TR": "6n16c", "UA": "6n19c", "VA": "18n", "VG": "4a16n", "XK": "16n", "YE": "4a4n18c",
}  # fmt: skip
IBAN_LENGTHS = {country: 4 + sum(map(int, re.findall(r"\d+", form))) for country, form in IBAN_FORMATS.items()}


@cache
def _account_form(country: str) -> re.Pattern[str]:
    classes = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
    parts = re.findall(r"(\d+)([nac])", IBAN_FORMATS[country])
    return re.compile("".join(f"{classes[kind]}{{{count}}}" for count, kind in parts))


def is_iban(candidate: bytes) -> bool:
    """Whether letters and digits, plain or in groups of four, are an account number.

    >>> is_iban(b"GB82 WEST 1234 5698 7654 32"), is_iban(b"GB83WEST12345698765432")
    (True, False)
    """
    groups = candidate.replace(b"\xc2\xa0", b" ").split(b" ")
    if len(groups) > 1 and not (all(len(group) == 4 for group in groups[:-1]) and 1 <= len(groups[-1]) <= 4):
        return False
    number = b"".join(groups).decode("ascii")
    if not (number.isupper() or number.islower()) or number[:2].upper() not in IBAN_FORMATS:
        return False
    number = number.upper()
    if _account_form(number[:2]).fullmatch(number, 4) is None:
        return False
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1


SSN_WORDS = ("ssn", "security", "sec", "number", "no", "num", "is")
_SSN_WORD = re.compile(
    rb"(?i)\b(?:ssn|social[ -]security|soc\.? sec)\b(?:[ .-]{0,2}(?:number|no|num|is))*[^A-Za-z0-9<@\[]{1,8}\Z"
)
SSN_SHAPES: frozenset[tuple[int, ...]] = frozenset({(3, 2, 4), (9,)})


def is_ssn(candidate: bytes, before: bytes, after: bytes) -> bool:
    """Whether digits are a US social security number: dashed, or behind a word that says so.

    >>> is_ssn(b"536-22-1234", b"", b""), is_ssn(b"536221234", b"", b""), is_ssn(b"536221234", b"SSN: ", b"")
    (True, False, True)
    """
    separators = set(re.findall(rb"\D+", candidate))
    if separators != {b"-"} and not (separators <= {b" "} and _SSN_WORD.search(before)):
        return False
    if _INSIDE_BEFORE.search(before) or _INSIDE_AFTER.match(after):
        return False
    digits = bytes(byte for byte in candidate if 48 <= byte <= 57)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in (b"000", b"666") and area < b"900" and group != b"00" and serial != b"0000"
