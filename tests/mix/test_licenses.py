from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.licenses import LicensePolicy, count_licenses, is_unstated, licenses_by_source, spdx_name
from tests.mix.conftest import make_documents, write_part


@pytest.mark.parametrize(
    ("license_", "deny", "denied"),
    [
        ("CC-BY-NC-4.0", "*-NC-*", True),
        ("CC BY-NC-SA 4.0", "*-NC-*", True),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0", True),
        ("http://www.creativecommons.org/publicdomain/zero/1.0/", "CC0-*", True),
        ("CC-BY-4.0", "*-NC-*", False),
        ("GPL-3.0-or-later", "GPL-3.0", True),
        ("gpl-3.0-only", "GPL-3.0", True),
        ("GPL-2.0+", "GPL-2.0", True),
        ("AGPL-3.0-only", "GPL-3.0", False),
        ("LGPL-2.1-only", "*GPL*", True),
        ("MIT OR GPL-2.0-only", "GPL-*", False),
        ("GPL-2.0-only OR GPL-3.0-only", "GPL-*", True),
        ("MIT AND GPL-2.0-only", "GPL-*", True),
        ("(MIT OR GPL-2.0-only) AND GPL-3.0-only", "GPL-*", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only", True),
        ("Proprietary, all rights reserved", "proprietary*", True),
        ("[M]IT", "[M]IT*", True),
        ("MIT", "[M]IT*", False),
        ("aXa", "aXa*a", False),
        ("", "*", False),
        (None, "*", False),
    ],
)
def test_a_licence_is_denied_by_name_pattern_or_its_parts(license_: str | None, deny: str, denied: bool) -> None:
    assert LicensePolicy(deny=(deny,)).denied_by(license_) == (deny if denied else None)


def test_everything_that_may_not_be_there_is_named_with_its_mend() -> None:
    policy = LicensePolicy(deny=("*-NC-*", "AGPL-3.0"), unknown="error")
    with pytest.raises(RecipeError) as told:
        policy.check(
            {
                "web": {"CC-BY-NC-4.0": 1200, "": 30, "MIT": 5, "NOASSERTION": 4},
                "code": {"AGPL-3.0-or-later": 7, "MIT": 100},
                "books": {"CC0-1.0": 3, "": 0},
            }
        )
    assert str(told.value).splitlines() == [
        "mix.licenses: documents are in the mix that may not be:",
        "  code: 7 documents have 'AGPL-3.0-or-later' (denied by 'AGPL-3.0')",
        "  web: 34 documents state no licence (unknown: error)",
        "  web: 1,200 documents have 'CC-BY-NC-4.0' (denied by '*-NC-*')",
        "Mend it: give the share to a slice without them (`where: \"license IS DISTINCT FROM 'AGPL-3.0-or-later'\"`), "
        "keep them out by the stage `code_license` where it is code, or take the entry off the deny list",
        "Mend it: say what is known (`sources.web.license`), give the share to a slice of those that state one "
        '(`where: "license IS NOT NULL"`), or `mix.licenses.unknown: allow`',
    ]


def test_without_a_policy_anything_goes() -> None:
    LicensePolicy().check({"web": {"": 3, "CC-BY-NC-4.0": 4}})
    LicensePolicy(deny=("*",), unknown="error").check({"web": {"MIT": 0}})


def test_a_long_list_of_what_is_denied_is_cut() -> None:
    many = {f"X-{number}": 1 for number in range(1000)} | {"X" * 10_000: 2}
    with pytest.raises(RecipeError) as told:
        LicensePolicy(deny=("X*",)).check({"web": many})
    assert "  and 989 more" in str(told.value)
    assert len(str(told.value)) < 2000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"deny": "MIT"}, r"mix\.licenses\.deny: 'MIT' is no list"),
        ({"deny": ("",)}, "is no list of licences"),
        ({"deny": ("MIT OR ISC",)}, "must be one SPDX name"),
        ({"unknown": "deny"}, "choose 'allow' or 'error'"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        LicensePolicy(**fields)  # type: ignore[arg-type]


@given(st.text("ab", max_size=12), st.text("ab*", min_size=1, max_size=6).filter(str.strip))
def test_stars_stand_for_anything(name: str, pattern: str) -> None:
    fits = LicensePolicy(deny=(pattern,)).denied_by(name) == pattern
    assert fits == (bool(name) and fnmatchcase(name, pattern))


@given(st.text(max_size=300))
def test_hostile_licences_end_in_an_answer(stated: str) -> None:
    policy = LicensePolicy(deny=("*-NC-*", "GPL-*"))
    assert policy.denied_by(stated) in (None, "*-NC-*", "GPL-*")
    assert spdx_name(stated) is not None


def test_licences_are_counted_by_source(tmp_path: Path) -> None:
    documents = make_documents("web", 200)
    part = write_part(tmp_path / "part.parquet", documents, row_group_rows=64)
    expected = Counter(document["license"] or "" for document in documents)
    assert count_licenses(part, None, "web") == {"web": expected}
    assert licenses_by_source([part, part]) == {"web": expected + expected}


def test_licences_are_counted_by_component_and_left_out_documents_are_not(tmp_path: Path) -> None:
    documents = make_documents("web", 200)
    part = write_part(tmp_path / "part.parquet", documents)
    components = [("web/de", "web/en", None)[row % 3] for row in range(200)]
    pq.write_table(pa.table({"component": pa.array(components, pa.string())}), tmp_path / "placed.parquet")
    expected: dict[str, Counter[str]] = {"web/de": Counter(), "web/en": Counter()}
    for component, document in zip(components, documents, strict=True):
        if component is not None:
            expected[component][document["license"] or ""] += 1
    assert count_licenses(part, tmp_path / "placed.parquet", "web") == expected


def test_what_says_nothing_is_not_stated() -> None:
    assert all(map(is_unstated, ["", " ", "None", "NOASSERTION", "unknown"]))
    assert not any(map(is_unstated, ["MIT", "other", "CC0-1.0"]))
