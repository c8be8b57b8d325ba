"""Repeated substrings against plain Python on small and hostile texts, and against a suffix array on real ones."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pydivsufsort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup import substrings
from corpusmill.dedup.substring_kernels import hash_windows, verify_repeats, winnow
from corpusmill.dedup.substrings import Reason, SubstringDedup
from corpusmill.documents import ids
from corpusmill.documents.barrier import CLUSTERS, EDITS, VERDICTS
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import DamagedRunError, RecipeError, UsageError
from corpusmill.documents.shards import write_table

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "cases/substring_dedup.jsonl").open()]


@dataclass
class Outcome:
    """A decision with documents named by their numbers."""

    cut: dict[int, list[tuple[int, int]]]  # bytes, of documents that stay
    gone: dict[int, str]
    measures: dict[int, dict[str, Any]]
    left: dict[int, str]  # texts of the documents that stay


def decided(
    stage: SubstringDedup,
    texts: Sequence[str],
    *,
    order: Sequence[int] | None = None,
    parts: int = 1,
    excluded: Sequence[int] = (),
    readable: Sequence[str] | None = None,
) -> Outcome:
    """Runs the stage over texts as a run would, in `order`, from sidecars in `parts`."""
    stage.prepare()
    documents = numbered(texts)
    reread = documents if readable is None else numbered(readable)
    shuffled = documents.take(pa.array(np.arange(len(texts)) if order is None else np.array(order), pa.int64()))

    def read_texts(ids: Sequence[str]) -> Iterator[TextBatch]:
        wanted = [number for number in sorted(map(int, ids), reverse=True) if number < reread.num_rows]
        step = max(3, len(wanted) // 50)
        for begin in range(0, len(wanted), step):
            yield TextBatch(reread.take(pa.array(wanted[begin : begin + step], pa.int64())))

    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "workspace").mkdir()
        sidecars = []
        for part, (begin, end) in enumerate(pairwise(np.linspace(0, len(texts), parts + 1).astype(int).tolist())):
            sidecars.append(folder / f"{part}.parquet")
            # A slice, so that kernels meet batches whose buffers begin before they do.
            write_table(sidecars[-1], [stage.observe(TextBatch(shuffled.slice(begin, end - begin)))], stage.sidecar)
        decision = stage.decide(
            sidecars,
            excluded=pa.array([f"{number:08}" for number in excluded], pa.string()),
            read_texts=read_texts,
            workspace=folder / "workspace",
        )
    assert decision.verdicts.schema == VERDICTS
    assert decision.clusters.equals(CLUSTERS.empty_table())
    assert decision.edits.schema == EDITS
    assert decision.measures is not None
    assert decision.measures.schema == pa.schema([VERDICTS.field("id"), *stage.measures])
    gone = {int(row["id"]): row["reason"] for row in decision.verdicts.to_pylist()}
    cut: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in decision.edits.to_pylist():
        cut[int(row["id"])].append((row["start"], row["end"]))
    measures = {int(row.pop("id")): row for row in decision.measures.to_pylist()}
    for table in (decision.verdicts, decision.edits, decision.measures):
        assert table["id"].to_pylist() == sorted(table["id"].to_pylist())
    left = {number: without(text, cut[number]) for number, text in enumerate(texts) if number not in gone}
    return Outcome({number: ranges for number, ranges in cut.items() if ranges}, gone, measures, left)


def numbered(texts: Sequence[str]) -> pa.RecordBatch:
    """Documents whose ids sort as their numbers do."""
    documents = TextBatch.of_texts(texts).documents
    ids = pa.array([f"{number:08}" for number in range(len(texts))], pa.string())
    return documents.set_column(0, documents.schema.field("id"), ids)


def without(text: str, ranges: Sequence[tuple[int, int]]) -> str:
    encoded = text.encode()
    kept = [encoded[start:end] for (_, start), (end, _) in pairwise([(0, 0), *ranges, (len(encoded), 0)])]
    return b"".join(kept).decode()  # strict: cuts land on character borders


# What follows is the definition in plain Python.


def passages(
    documents: Sequence[Sequence[Any]], length: int, keep: str, within: bool
) -> dict[int, list[tuple[int, int, int]]]:
    """For each document: start and end of each repeated passage, and the document where its first window is, too."""
    places: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, units in enumerate(documents):
        for start in range(len(units) - length + 1):
            places[tuple(units[start : start + length])].append((number, start))
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, units in enumerate(documents):
        for start in range(len(units) - length + 1):
            occurrences = places[tuple(units[start : start + length])]
            apart = [at for at in occurrences if at[0] != number or (within and abs(at[1] - start) >= length)]
            earlier = [at for at in apart if at < (number, start)]
            if not earlier and not (keep == "none" and apart):
                continue
            other = earlier[0] if earlier else apart[-1]
            mine = found[number]
            if mine and start <= mine[-1][1]:
                mine[-1] = (mine[-1][0], start + length, mine[-1][2])
            else:
                mine.append((start, start + length, other[0]))
    return found


def byte_ranges(text: str, unit: str, ranges: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Where passages are cut."""
    encoded = text.encode()
    if unit == "bytes":
        return [
            (begin, end)
            for begin, end in (whole_characters(encoded, *passage[:2]) for passage in ranges)
            if begin < end
        ]
    words = words_of(text)
    found = []
    for begin, end, _ in ranges:
        before, behind = begin > 0, end < len(words)
        if before and words[begin].mark and not words[begin - 1].mark and words[begin - 1].end == words[begin].start:
            begin += 1
        if behind and words[end - 1].mark and not words[end].mark and words[end - 1].end == words[end].start:
            end -= 1
        if not before or not behind:
            start = words[begin - 1].end if before else words[0].start if behind else 0
            stop = words[end].start if behind else words[-1].end if before else len(encoded)
            found.append((start, stop))
            continue
        gap, next_gap = (encoded[words[at - 1].end : words[at].start] for at in (begin, end))
        if (next_gap.count(b"\n"), next_gap != b"") > (gap.count(b"\n"), gap != b""):
            found.append((words[begin - 1].end, words[end - 1].end))
        else:
            found.append((words[begin].start, words[end].start))
    return found


def whole_characters(encoded: bytes, begin: int, end: int) -> tuple[int, int]:
    while begin < end and 0x80 <= encoded[begin] < 0xC0:
        begin += 1
    while end > begin and end < len(encoded) and 0x80 <= encoded[end] < 0xC0:
        end -= 1
    return begin, end


@dataclass
class Word:
    start: int
    end: int
    mark: bool


def words_of(text: str) -> list[Word]:
    """Words, ideographs, and runs of marks, by their bytes."""
    pattern = re.compile(r"漢|[^\W漢]+|[^\w\s]+")
    found = ((len(text[: match.start()].encode()), match[0]) for match in pattern.finditer(text))
    return [Word(start, start + len(word.encode()), not re.match(r"\w", word)) for start, word in found]


def units_of(text: str, unit: str) -> list[Any]:
    if unit == "bytes":
        return list(text.encode())
    encoded = text.encode()
    return [encoded[word.start : word.end] for word in words_of(text)]


@st.composite
def corpora(draw: st.DrawFn) -> list[str]:
    """Texts that copy from one another, and from themselves."""
    piece = st.lists(
        st.sampled_from(["a", "b", "Ab", ",", "(", " ", " ", "\n", "\n\n", "é", "漢", "💡", "a "]), max_size=30
    )
    texts: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        text = "".join(draw(piece))
        for _ in range(draw(st.integers(0, 3))):
            source = draw(st.sampled_from([*texts, text]))
            begin = draw(st.integers(0, len(source)))
            text += source[begin : begin + draw(st.integers(0, 60))] * draw(st.sampled_from([1, 1, 1, 2, 9]))
            text += "".join(draw(piece))
        texts.append(text)
    return texts


@given(
    corpora(),
    st.sampled_from(["words", "bytes"]),
    st.sampled_from(["first", "none"]),
    st.integers(4, 12),
    st.booleans(),
)
@settings(max_examples=200)
def test_passages_and_cuts_are_those_of_plain_python(texts, unit, keep, length, within):
    stage = SubstringDedup(min_length=length, unit=unit, keep=keep, within_documents=within, min_left_words=0)
    outcome = decided(stage, texts)
    units = [units_of(text, unit) for text in texts]
    expected = passages(units, length, keep, within)
    assert outcome.measures == {
        number: {
            "passages": len(found),
            "repeated_units": sum(end - begin for begin, end, _ in found),
            "repeated_share": sum(end - begin for begin, end, _ in found) / len(units[number]),
            "longest": max(end - begin for begin, end, _ in found),
            "longest_in": f"{max(found, key=lambda passage: passage[1] - passage[0])[2]:08}",
        }
        for number, found in expected.items()
    }
    ranges = {number: byte_ranges(texts[number], unit, found) for number, found in expected.items()}
    assert outcome.cut == {number: found for number, found in ranges.items() if found}
    assert outcome.gone == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_left_as_its_title_says(case):
    outcome = decided(SubstringDedup(**case["options"]), case["texts"])
    assert [outcome.left.get(number) for number in range(len(case["texts"]))] == case["left"]
    assert set(outcome.gone.values()) == ({case["reason"]} if None in case["left"] else set())


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in CASES if None in case["left"]} == set(Reason)


@pytest.mark.parametrize("unit", ["words", "bytes"])
@pytest.mark.parametrize("keep", ["first", "none"])
def test_nothing_depends_on_order_parts_or_the_sizes_of_files(monkeypatch, unit, keep):
    chance = np.random.default_rng(5)
    words = [f"w{number}" for number in range(4000)]
    texts = []
    for _ in range(60):
        text = " ".join(chance.choice(words, 80))
        if texts:
            begin = int(chance.integers(0, 200))
            text += " " + texts[chance.integers(len(texts))][begin : begin + 500]
        texts.append(text + " again" * int(chance.integers(1, 90)))
    stage = SubstringDedup(min_length=12, unit=unit, keep=keep, min_left_words=5)
    whole = decided(stage, texts, excluded=[3, 17])
    assert len(whole.cut) > 30
    monkeypatch.setattr(substrings, "_WINDOWS", 512)
    monkeypatch.setattr(substrings, "_PART_ROWS", 2048)
    monkeypatch.setattr(substrings, "_TEXT_BYTES", 1000)
    for parts in (2, 7):
        again = decided(stage, texts, excluded=[3, 17], order=chance.permutation(60), parts=parts)
        assert again == whole


def test_an_excluded_document_counts_as_absent():
    texts = ["a b c d e f", "a b c d e f", "x a b c d e f"]
    outcome = decided(SubstringDedup(min_length=5, min_left_words=0), texts, excluded=[0])
    assert outcome.cut == {2: [(1, 13)]}
    assert outcome.measures[2]["longest_in"] == "00000001"


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_nothing_in_gives_nothing_out(parts):
    outcome = decided(SubstringDedup(), [], parts=parts)
    assert (outcome.cut, outcome.gone, outcome.measures) == ({}, {}, {})


def test_a_document_that_was_observed_twice_is_an_error_that_names_it():
    with pytest.raises(DamagedRunError, match=r"document '00000001' was observed more than once; remove the source's"):
        decided(SubstringDedup(min_length=4), ["a b c d", "e f g h", "i"], order=[0, 1, 1])


def test_more_ids_than_an_array_holds_are_an_error_that_says_whose(monkeypatch):
    monkeypatch.setattr(ids, "MAX_ID_BYTES", 15)
    with pytest.raises(UsageError, match=r"ids of 2 documents that have a fingerprint of another have 16 bytes"):
        decided(SubstringDedup(min_length=4), ["a b c d e", "x", "a b c d e"])


@pytest.mark.parametrize("readable", [["a b c d e"], ["a b c d e", "a b c d"]])
def test_a_document_that_is_gone_or_another_when_read_again_is_an_error_that_names_it(readable):
    with pytest.raises(
        DamagedRunError, match=r"1 documents were observed but cannot be .* such as '00000001'; .* again"
    ):
        decided(SubstringDedup(min_length=4), ["a b c d e", "x b c d e"], readable=readable)


def test_what_hashes_alone_call_equal_is_not_cut(monkeypatch):
    """All windows get one hash: the first is everybody's other place, and only true copies of it are repeats."""

    def collide(units, begins, ends, length, offset, records):
        hash_windows(units, begins, ends, length, offset, records)
        records[:, 0] = 7

    monkeypatch.setattr(substrings, "hash_windows", collide)
    outcome = decided(SubstringDedup(min_length=4, min_left_words=0), ["a b c d e f", "a b c d e f x"])
    assert outcome.left == {0: "a b c d e f", 1: "e f x"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": 3}, r"substring_dedup.min_length: 3 words are no passage; use 4 to 1000000, such as 50"),
        ({"min_length": 2_000_000, "unit": "bytes"}, r"min_length: 2000000 bytes are no passage"),
        ({"min_left_words": -1}, r"substring_dedup.min_left_words: -1 must not be negative"),
        ({"max_dropped_share": 1.5}, r"substring_dedup.max_dropped_share: 1.5 is no share"),
    ],
)
def test_parameters_that_cannot_be_met_are_errors_that_name_the_mend(options, message):
    with pytest.raises(RecipeError, match=message):
        SubstringDedup(**options).prepare()


@pytest.mark.parametrize(
    "options", [{"keep": "none"}, {"within_documents": False}, {"action": "mark"}, {"min_left_words": 0}]
)
def test_fields_that_only_decide_reads_do_not_change_the_sidecars(options):
    batch = TextBatch.of_texts(["one two three four five six " * 30, "seven"])
    assert set(options) <= SubstringDedup.judged_fields
    assert SubstringDedup(**options).observe(batch) == SubstringDedup().observe(batch)


# Kernels against plain Python.


def winnowed(units, documents, gram, width, room=None):
    """First fingerprint of each document, values and first windows."""
    firsts = np.cumsum([0, *map(len, documents)]).astype(np.int32)
    found_firsts = np.empty(len(firsts), np.int32)
    room = len(units) if room is None else room
    values, since = np.empty(room, np.uint64), np.empty(room, np.int32)
    ring = np.empty(1 << (width - 1).bit_length(), np.uint64)
    count = winnow(frozen(units), frozen(firsts), gram, width, ring, found_firsts, values, since)
    return found_firsts.tolist(), values[:count].tolist(), since[:count].tolist(), count


@given(st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=5), st.integers(1, 6), st.integers(1, 9))
def test_equal_windows_are_under_fingerprints_of_one_value(documents, gram, width):
    units = np.array([unit for document in documents for unit in document], np.uint8)
    found_firsts, values, since, _ = winnowed(units, documents, gram, width)
    reigning: dict[tuple[int, ...], set[int]] = defaultdict(set)
    begin = 0
    for document, (first, behind) in zip(documents, pairwise(found_firsts), strict=True):
        windows = range(len(document) - gram - width + 2)
        assert (first < behind) == (len(windows) > 0)
        for start in windows:
            ruler = max(index for index in range(first, behind) if since[index] <= begin + start)
            reigning[tuple(document[start : start + gram + width - 1])].add(values[ruler])
        begin += len(document)
    assert all(len(rulers) == 1 for rulers in reigning.values())


def test_arrays_that_are_too_short_for_the_fingerprints_are_told():
    assert winnowed(np.arange(200, dtype=np.uint8), [range(200)], 3, 4, room=10)[-1] == -1


@pytest.mark.parametrize("text", ["\0" * 100_000, "ab" * 50_000, "the same line\n" * 7000, "=" * 60_000 + "-" * 60_000])
@pytest.mark.parametrize("unit", ["words", "bytes"])
def test_a_text_of_one_repetition_has_no_more_fingerprints_than_others(text, unit):
    stage = SubstringDedup(unit=unit)
    batch = TextBatch.of_texts([text])
    observed = stage.observe(batch).to_pylist()[0]
    assert len(observed["fingerprints"]) <= 1 + 2 * observed["units"] / (stage.min_length - stage.gram)


def test_twenty_thousand_copies_of_a_template_leave_one():
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(words), *(f"{number} {' '.join(words)} {number}" for number in range(20_000))]
    outcome = decided(SubstringDedup(min_left_words=2), texts)
    assert len(outcome.left) == 20_001
    assert set(map(outcome.left.get, range(1, 20_001))) == {f"{number} {number}" for number in range(20_000)}


@given(st.lists(st.integers(0, 1), max_size=60), st.lists(st.integers(-1, 59), max_size=60), st.integers(1, 6))
def test_only_equal_windows_are_left_after_verification(units, others, length):
    starts = max(len(units) - length + 1, 0)
    given_others = np.array([other if other < starts else -1 for other in others[:starts]], np.int64)
    found = given_others.copy()
    verify_repeats(frozen(np.array(units, np.uint8)), 0, length, found)
    for place, (before, after) in enumerate(zip(given_others.tolist(), found.tolist(), strict=True)):
        same = before >= 0 and units[place : place + length] == units[before : before + length]
        assert after == (before if same else -1)


@pytest.fixture(scope="module")
def posts(realdata: Path) -> list[str]:
    """2 MB of newsgroup posts, many of which quote others."""
    paths = sorted(path for path in (realdata / "text/newsgroups20_bydate").rglob("*") if path.is_file())
    return [path.read_bytes().decode("latin-1") for path in paths[: len(paths) // 18]]


@pytest.mark.realdata
@pytest.mark.parametrize("unit", ["words", "bytes"])
@pytest.mark.parametrize("keep", ["first", "none"])
def test_on_real_posts_a_suffix_array_finds_the_same(posts, unit, keep):
    outcome = decided(SubstringDedup(unit=unit, keep=keep, min_left_words=0), posts)
    ranges = sorted_suffix_passages([units_of(post, unit) for post in posts], 50, keep)
    assert {
        number: (row["passages"], row["repeated_units"], row["longest"]) for number, row in outcome.measures.items()
    } == {
        number: (len(found), sum(end - begin for begin, end, _ in found), max(end - begin for begin, end, _ in found))
        for number, found in ranges.items()
    }
    assert outcome.cut == {number: byte_ranges(posts[number], unit, found) for number, found in ranges.items()}
    assert sum(map(len, ranges.values())) > 150


def sorted_suffix_passages(
    documents: Sequence[Sequence[Any]], length: int, keep: str
) -> dict[int, list[tuple[int, int, int]]]:
    """As `passages`, from a suffix array: equal windows are neighbours in it, with a window or more in common."""
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(chain.from_iterable(documents)), 1)}
    firsts = np.cumsum([0, *(len(units) + 1 for units in documents)])
    whole = np.zeros(firsts[-1], np.uint8 if len(numbers) < 256 else np.int32)  # 0 behind each document
    for first, units in zip(firsts.tolist(), documents):
        whole[first : first + len(units)] = [numbers[unit] for unit in units]
    order = pydivsufsort.divsufsort(whole)
    common = pydivsufsort.kasai(whole, order)  # of each suffix and the next one in order
    owner = np.searchsorted(firsts, order, side="right") - 1
    inside = order + length < firsts[owner + 1]
    groups = np.append(0, np.cumsum(common[: len(order) - 1] < length))[inside]
    places = order[inside].astype(np.int64)
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    sizes = np.diff(np.append(starts, len(places)))
    earliest, latest = (np.repeat(reach.reduceat(places, starts), sizes) for reach in (np.minimum, np.maximum))
    repeated = earliest + length <= places
    if keep == "none":
        repeated |= places + length <= latest
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for place in np.sort(places[repeated]).tolist():
        number = int(np.searchsorted(firsts, place, side="right")) - 1
        start = place - int(firsts[number])
        mine = found[number]
        if mine and start <= mine[-1][1]:
            mine[-1] = (mine[-1][0], start + length, 0)
        else:
            mine.append((start, start + length, 0))
    return found


@pytest.mark.realdata
def test_a_book_that_comes_again_with_other_line_breaks_goes_and_another_book_stays(realdata: Path):
    one, other = (path.read_text() for path in sorted((realdata / "text/books_classic_markdown_a").rglob("*.md"))[:2])
    outcome = decided(SubstringDedup(), [one, other, re.sub(r"[ \n]+", "\n", one)])
    assert outcome.gone == {2: "too_little_left"}
    assert outcome.measures[2]["repeated_share"] == 1
    assert len(outcome.left[1].encode()) > 0.999 * len(other.encode())
