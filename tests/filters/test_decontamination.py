"""Decontamination: titled cases, kernels against plain Python, benchmark files, and planted items in real posts."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.barrier import EDITS, VERDICTS, Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError, InputError, RecipeError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table
from corpusmill.filters.decontamination import Decontamination, Reason
from corpusmill.filters.decontamination_index import (
    BenchmarkFiles,
    Index,
    bloom,
    find_grams,
    load_index,
    sampled,
    word_stream,
)

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "decontamination.jsonl").read_text(encoding="utf-8").splitlines()
]
QUESTION = (
    "The ferry carries nineteen lorries to the island before lunch and half as many afterwards, while the harbour "
    "master counts the empty crates that come back on every crossing."
)
BEGINNING = QUESTION[:69]  # 12 of its words, too few to be a copy
ANSWER = "There were forty seven crates left on the quay that evening."
OTHER = "Nobody on the committee could say who had ordered a second clock for the tower, or where the bill had gone. "


def jsonl(path: Path, rows: Sequence[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def stage_for(folder: Path, items: Sequence[str | dict[str, Any]], **options: Any) -> Decontamination:
    rows = [{"text": item} if isinstance(item, str) else item for item in items]
    files = BenchmarkFiles(paths=(jsonl(folder / "items.jsonl", rows),), fields=("text",))
    return Decontamination(benchmarks={"quiz": files}, **options)


def documents_of(texts: Sequence[str]) -> pa.RecordBatch:
    batch = TextBatch.of_texts(texts).documents
    return batch.set_column(0, DOCUMENT.field("id"), pa.array([f"{row:06}" for row in range(len(texts))], pa.string()))


def decided(
    stage: Decontamination, texts: Sequence[str], folder: Path, *, parts: int = 1, excluded: Sequence[int] = (),
    order: Sequence[int] | None = None,
) -> Decision:  # fmt: skip
    """What the stage decides about documents called after their places, observed in `parts` and in `order`."""
    documents = documents_of(texts).take(pa.array(np.arange(len(texts)) if order is None else order, pa.int64()))
    folder = folder / "sidecars"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    paths = []
    for part, (begin, end) in enumerate(pairwise(np.linspace(0, len(documents), parts + 1).astype(int).tolist())):
        paths.append(folder / f"{part}.parquet")
        # A slice, so that kernels meet batches whose buffers begin before they do.
        write_table(paths[-1], [stage.observe(TextBatch(documents.slice(begin, end - begin)))], stage.sidecar)
    absent = pa.array([f"{row:06}" for row in excluded], pa.string())
    decision = stage.decide(paths, excluded=absent, read_texts=lambda ids: iter(()), workspace=folder)
    assert decision.verdicts.schema == VERDICTS
    assert decision.edits.schema == EDITS
    assert decision.measures is not None
    assert decision.measures.schema == pa.schema([VERDICTS.field("id"), *stage.measures])
    return decision


def found_in(decision: Decision) -> dict[int, str]:
    """The item found in each document in which one is."""
    assert decision.measures is not None
    rows = decision.measures.to_pylist()
    return {int(row["id"]): row["item"] for row in rows if row["items"]}


def after_cuts(texts: Sequence[str], decision: Decision) -> dict[int, str]:
    """The documents that something was cut out of, as they are left."""
    cuts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in decision.edits.to_pylist():
        cuts[int(row["id"])].append((row["start"], row["end"]))
    left = {}
    for document, spans in cuts.items():
        text = texts[document].encode()
        assert spans == sorted(spans)
        for start, end in reversed(spans):
            text = text[:start] + text[end:]
        left[document] = text.decode()
    return left


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_decided_as_its_title_says(case, tmp_path):
    decision = decided(stage_for(tmp_path, case["items"], **case["options"]), case["texts"], tmp_path)
    verdicts = {int(row["id"]): row["reason"] for row in decision.verdicts.to_pylist()}
    assert verdicts == {int(document): reason for document, reason in case.get("gone", {}).items()}
    assert {document: int(item.split(":")[1]) for document, item in found_in(decision).items()} == {
        int(document): item for document, item in case["found"].items()
    }
    assert after_cuts(case["texts"], decision) == {int(row): text for row, text in case.get("left", {}).items()}


def test_every_declared_reason_has_a_case():
    assert {reason for case in CASES for reason in case.get("gone", {}).values()} == set(Reason)


def test_a_document_is_attributed_to_its_best_item_with_hits_and_share(tmp_path):
    items = [OTHER + QUESTION[:125], QUESTION, ANSWER + " " + OTHER]
    decision = decided(stage_for(tmp_path, items), ["What I read: " + QUESTION, OTHER * 2, "nothing of it"], tmp_path)
    rows = decision.measures.to_pylist()
    assert [(row["id"], row["benchmark"], row["item"], row["items"]) for row in rows] == [
        ("000000", "quiz", "items.jsonl:1", 2),  # the first item has the question's beginning
        ("000001", "quiz", "items.jsonl:2", 2),
    ]
    words = len(re.findall(r"\w+", QUESTION))
    assert rows[0]["covered"] == 1.0
    assert rows[0]["hits"] == words // 8
    assert decision.verdicts["similarity"].to_pylist() == [None, None]


def test_the_decision_is_the_same_however_the_source_is_split_and_ordered(tmp_path):
    chance = random.Random(4)
    filler = " ".join(f"filler{number}" for number in range(30)) + " "
    texts = [chance.choice(["x ", OTHER, filler]) + chance.choice([QUESTION, ANSWER, "none", OTHER]) for _ in range(60)]
    stage = stage_for(tmp_path, [QUESTION, OTHER + ANSWER, ANSWER], action="cut", min_left=5)
    whole = decided(stage, texts, tmp_path)
    assert whole.verdicts.num_rows > 5
    assert whole.edits.num_rows > 2
    for parts in (3, 7):
        order = chance.sample(range(60), 60)
        assert decided(stage, texts, tmp_path, parts=parts, order=order) == whole


def test_common_n_grams_do_not_count_but_copies_of_an_item_are_no_witnesses(tmp_path):
    saying = "it is a truth that all the old boatmen of this river"
    proverb = f"{saying} know by heart"
    long_item = f"{QUESTION} {proverb}"
    stage = stage_for(tmp_path, [f"Why? {proverb}, said she.", long_item], common_documents=3)
    talk = [f"Well, {saying} and number {row} too." for row in range(6)]
    assert found_in(decided(stage, talk[:3], tmp_path)) == dict.fromkeys(range(3), "items.jsonl:0")
    assert found_in(decided(stage, talk, tmp_path)) == {}
    copies = decided(stage, [f"{row}: {long_item}" for row in range(20)], tmp_path)
    assert set(found_in(copies).values()) == {"items.jsonl:1"}
    assert len(found_in(copies)) == 20


def test_what_is_common_depends_on_the_number_of_documents(tmp_path):
    stage = stage_for(tmp_path, [QUESTION], common_documents=2, common_share=0.5, min_covered=0.1)
    some = [f"and so: {BEGINNING}"] * 5
    assert len(found_in(decided(stage, [*some, *["something else"] * 6], tmp_path))) == 5
    assert found_in(decided(stage, [*some, "something else"], tmp_path)) == {}


def test_an_excluded_document_is_neither_judged_nor_counted(tmp_path):
    stage = stage_for(tmp_path, [QUESTION], common_documents=3, min_covered=0.1)
    texts = [f"and so: {BEGINNING}"] * 5
    assert found_in(decided(stage, texts, tmp_path)) == {}
    assert set(found_in(decided(stage, texts, tmp_path, excluded=[1, 3]))) == {0, 2, 4}


def test_a_document_that_was_observed_twice_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DamagedRunError, match="document '000001' was observed more than once"):
        decided(stage_for(tmp_path, [QUESTION]), ["a", QUESTION], tmp_path, order=[0, 1, 1])


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_nothing_in_gives_nothing_out(tmp_path, parts):
    decision = decided(stage_for(tmp_path, [QUESTION], action="cut"), [], tmp_path, parts=parts)
    assert (decision.verdicts.num_rows, decision.measures.num_rows, decision.edits.num_rows) == (0, 0, 0)


def test_mark_says_it_and_leaves_the_document(tmp_path):
    decision = decided(stage_for(tmp_path, [QUESTION], action="mark"), [QUESTION], tmp_path)
    assert found_in(decision) == {0: "items.jsonl:0"}
    assert (decision.verdicts.num_rows, decision.edits.num_rows) == (0, 0)


@pytest.mark.parametrize("margin", [0, 3, 8, 10_000])
def test_a_cut_takes_the_passage_and_its_margin_in_words(tmp_path, margin):
    before = " ".join(f"front{number}" for number in range(40))
    behind = " ".join(f"back{number}" for number in range(40))
    text = f"{before}, “so”: {QUESTION}\n\n{behind}."
    stage = stage_for(tmp_path, [QUESTION], action="cut", min_left=0, cut_margin=margin)
    [left] = after_cuts([text], decided(stage, [text], tmp_path)).values()
    words = re.findall(r"\w+", left)
    kept = max(0, 40 - margin + 1) if margin else 41  # "so" stands between
    assert words == [*[*before.split(), "so"][:kept], *behind.split()[margin:]]


def test_words_in_the_margins_of_two_passages_count_once_as_cut(tmp_path):
    front, between, back = (" ".join(f"{name}{number}" for number in range(100)) for name in ("front", "mid", "back"))
    between = " ".join(between.split()[:45])
    text = f"{front} {QUESTION} {between} {QUESTION} {back}"
    stage = stage_for(tmp_path, [QUESTION], action="cut", cut_margin=30, min_left=140)
    decision = decided(stage, [text], tmp_path)
    assert decision.verdicts.num_rows == 0
    assert len(after_cuts([text], decision)[0].split()) == 140


def test_documents_with_more_hits_than_are_kept_are_dropped_and_not_cut(tmp_path):
    stage = stage_for(tmp_path, [QUESTION], action="cut")
    decision = decided(stage, [f"{QUESTION} " * 300, QUESTION + OTHER * 9], tmp_path)
    assert decision.verdicts.to_pylist()[0]["reason"] == "contaminated"
    assert decision.verdicts.num_rows == 1
    assert set(decision.edits["id"].to_pylist()) == {"000001"}
    assert len(stage.observe(TextBatch(documents_of([QUESTION + " x " * 9]))).column("grams")[0]) < 4096


@pytest.mark.parametrize(
    "text",
    [
        QUESTION.upper(),
        "\n> ".join(textwrap.wrap(QUESTION, 30)),
        QUESTION.replace(",", " ;").replace(".", " …"),
        re.sub(r"(\w+) (\w+)", r"**\1** _\2_", QUESTION),
        re.sub(r"(\w+) (\w+)", r"\\textbf{\1} $\2$", QUESTION),
        re.sub(r"(\w+)", r"\\item `\1`", QUESTION),
        QUESTION.replace("e", "é").replace("a", "Ä"),
    ],
)
def test_case_line_breaks_quoting_punctuation_markup_and_diacritics_change_nothing(tmp_path, text):
    rows = decided(stage_for(tmp_path, [QUESTION]), [f"He wrote\n{text}\nand left."], tmp_path).measures.to_pylist()
    assert [row["covered"] for row in rows] == [1.0]


@pytest.mark.parametrize(
    ("item", "text", "is_found"),
    [
        ("((-1 + 2 + 9 * 5) - (-2 + -4 + -4 * -7)) =", "so $((-1 + 2 + 9 * 5) − (-2 + -4 + -4 * -7)) =$ 24", True),
        ("((-1 + 2 + 9 * 5) - (-2 + -4 + -4 * -7)) =", "1 2 9 5 2 4 4 7 and ((1 + 2 + 9 * 5) + (2 + 4", False),
        ("not ( True ) and ( True ) is", "What is `not ( True ) and ( True ) is`?", True),
        ("not ( True ) and ( True ) is", "It is not true and, true, is what they say: not true and true is.", False),
        ("1 2 3 4 5 6 7 8 9 10 11 12", "Table: 1 2 3 4 5 6 7 8 9 10 11 12 13", True),
        ("1 2 3 4 5 6 7 8 9 10 11 12", "Table: 1 2 3 4 5 6 7 8 9 x 11 12 13", False),
    ],
)
def test_a_terse_item_is_found_by_its_marks_and_as_a_whole(tmp_path, item, text, is_found):
    stage = stage_for(tmp_path, [item])
    assert stage.index.terse.tolist() == [True]
    assert bool(found_in(decided(stage, [text], tmp_path))) == is_found


# Kernels against plain Python.

WORDS = ["ferry", "lorries", "Harbour", "crates", "évening", "quay", "island", "x", "7", "_soft_", "the"]
texts_of_words = st.lists(
    st.sampled_from([*WORDS, "lorries", "ferry", "quay", "\\textbf", "—", ".", "_", "\n"]), max_size=60
).map(" ".join)


def plain_stream(text: str) -> list[str]:
    found = []  # with underscores
    for match in re.finditer(r"\w+", text):
        word = match.group()
        if word.strip("_") and not (match.start() and text[match.start() - 1] == "\\"):
            found.append(word.lower().replace("é", "e"))
    return found


def plain_grams(text: str, n: int) -> dict[tuple[str, ...], None]:
    stream = plain_stream(text)
    runs = [tuple(stream[place : place + n]) for place in range(len(stream) - n + 1)]
    return dict.fromkeys(
        folded for run in runs if len("".join(run)) >= 3 * n and len(set(folded := bare(run))) >= n // 2
    )


def bare(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word.strip("_") for word in words)


@settings(max_examples=40, deadline=None)
@given(st.lists(texts_of_words, min_size=1, max_size=5), st.lists(texts_of_words, max_size=6), st.integers(0, 40))
def test_the_hits_are_those_of_plain_python(tmp_path_factory, items, texts, cut):
    items = [items[0] + " ferry lorries harbour crates evening quay island seven", *items]
    texts = [*texts, f"{texts[0] if texts else ''} {items[0][cut:]}"]
    stage = stage_for(tmp_path_factory.mktemp("hits"), items)
    batch = TextBatch.of_texts(["shift the buffer", *texts])
    batch = TextBatch(batch.documents.slice(1))
    hits = stage.index.hits(batch, 4096)
    words = stage.index.terse[stage.index.items[stage.index.firsts[hits.grams]]] == 0
    wanted = {gram for item in items for gram in plain_grams(item, 8)}
    expected = []
    for document, text in enumerate(texts):
        stream = plain_stream(text)
        expected += [(document, place) for place in range(len(stream) - 7) if bare(stream[place : place + 8]) in wanted]
    stream = word_stream(batch)
    places = np.searchsorted(stream.tokens, hits.firsts[words]) - stream.firsts[hits.documents[words]]
    assert list(zip(hits.documents[words].tolist(), places.tolist())) == expected
    assert (hits.lasts >= hits.firsts + 7).all()


def plain_judgement(
    index: Index, hits: list[tuple[int, int, int]], common: set[int], stage: Decontamination
) -> tuple[int, int, float, int]:
    """Best item, its disjoint hits, its share, and the number of items found, of one document's hits."""
    counts: dict[int, int] = defaultdict(int)
    apart: dict[int, int] = defaultdict(int)
    reached: dict[int, int] = defaultdict(lambda: -1)
    seen = set()
    for gram, first, last in hits:
        if gram in common or gram in seen:
            continue
        seen.add(gram)
        for item in index.items[index.firsts[gram] : index.firsts[gram + 1]].tolist():
            counts[item] += 1
            if first > reached[item]:
                apart[item] += 1
                reached[item] = last
    judged = []
    for item, count in counts.items():
        size = int(index.sizes[item])
        share = count / size
        if index.terse[item]:
            is_found = share >= stage.min_covered_terse
        else:
            is_found = apart[item] >= stage.min_hits or (share >= stage.min_covered and count >= min(3, size))
        judged.append((not is_found, -share, -count, item, apart[item]))
    if not judged:
        return -1, 0, 0.0, 0
    best = min(judged)
    return best[3], best[4], -best[1], sum(not entry[0] for entry in judged)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_documents_are_judged_as_plain_python_judges_them(tmp_path_factory, data):
    chance = data.draw(st.randoms(use_true_random=False))
    vocabulary = [f"word{number}" for number in range(12)]
    items = [" ".join(chance.choices(vocabulary[:5], k=chance.randrange(8, 40))) for _ in range(6)]
    items += [items[0], items[1] + " " + items[2], "1 + 2 = ( 3 ) 4 5 6 7"]
    texts = []
    for _ in range(12):
        pieces = []
        for _ in range(chance.randrange(5)):
            words = chance.choice(items).split()
            begin = chance.randrange(len(words))
            pieces += [*words[begin : begin + chance.randrange(5, 40)], chance.choice(vocabulary)]
        texts.append(" ".join(pieces))
    folder = tmp_path_factory.mktemp("judged")
    stage = stage_for(folder, items, common_documents=chance.choice([2, 100]), action="mark")
    index = stage.index
    hits = index.hits(TextBatch(documents_of(texts)), 4096)
    of: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    begins = TextBatch(documents_of(texts)).words.firsts
    for document, gram, first, last in zip(
        *(a.tolist() for a in (hits.documents, hits.grams, hits.firsts, hits.lasts))
    ):
        of[document].append((gram, first - int(begins[document]), last - int(begins[document])))
    frequency: dict[int, int] = defaultdict(int)
    for found in of.values():
        grams = {gram for gram, _, _ in found}
        counts: dict[int, int] = defaultdict(int)
        owners = {gram: index.items[index.firsts[gram] : index.firsts[gram + 1]].tolist() for gram in grams}
        for gram in grams:
            for item in owners[gram]:
                counts[item] += 1
        for gram in grams:
            if not any(counts[item] >= 8 and 3 * counts[item] >= index.sizes[item] for item in owners[gram]):
                frequency[gram] += 1
    common = {gram for gram, count in frequency.items() if count > stage.common_documents}
    expected = {}
    for document, found in of.items():
        best, apart, share, n_found = plain_judgement(index, found, common, stage)
        if best >= 0:
            expected[f"{document:06}"] = (index.item_name(best), apart, share, n_found)
    rows = decided(stage, texts, folder, parts=2).measures.to_pylist()
    assert {row["id"]: (row["item"], row["hits"], row["covered"], row["items"]) for row in rows} == expected


def test_a_sample_of_an_items_n_grams_keeps_its_ends_and_the_smallest_hashes():
    chance = np.random.default_rng(3)
    grams = chance.integers(1, 2**63, 300).astype(np.uint64)
    grams[10] = grams[250] = grams[299]  # the last again: once is enough, and it stays an end
    items = np.repeat(np.array([5, 2], np.int32), [100, 200])
    edges = np.zeros(300, np.bool_)
    edges[[0, 99, 100, 299]] = True
    kept, owners = sampled(grams, items, edges, 20)
    for item, rows in ((5, slice(0, 100)), (2, slice(100, 300))):
        mine = set(kept[owners == item].tolist())
        ends = set(grams[rows][edges[rows]].tolist())
        others = sorted(set(grams[rows].tolist()) - ends)[: 20 - len(ends)]
        assert mine == ends | set(others)
        assert (owners == item).sum() == 20


@given(st.lists(st.integers(1, 2**64 - 1), unique=True, max_size=200), st.integers(0, 12))
def test_the_lookup_forgets_no_n_gram(values, shift):
    sought = np.sort(np.array(values, np.uint64))
    bits = bloom(sought)
    assert len(bits) & (len(bits) - 1) == 0
    for gram in sought[:50]:
        wanted = (1 << (int(gram) >> 58)) | (1 << ((int(gram) >> 52) & 63))
        assert int(bits[int(gram) & (len(bits) - 1)]) & wanted == wanted


def test_hits_beyond_the_room_are_counted_and_those_beyond_the_bound_are_not(tmp_path):
    stage = stage_for(tmp_path, [QUESTION])
    batch = TextBatch.of_texts([f"{QUESTION} " * 400, QUESTION])
    n_words = len(re.findall(r"\w+", QUESTION))
    hits = stage.index.hits(batch, 10**6)
    assert (hits.documents == 0).sum() == 400 * (n_words - 7)
    assert (hits.documents == 1).sum() == n_words - 7
    assert len(stage.index.hits(batch, 50).documents) == 50 + n_words - 7
    empty = np.empty(0, np.int32)
    stream = word_stream(batch)
    arguments = (stream.firsts, stream.hashes, 8, np.uint64(0), stage.index.bits, stage.index.grams, 50)
    assert find_grams(*arguments, empty, empty, empty) == 50 + n_words - 7


def test_n_grams_of_a_benchmarks_template_are_no_items_text(tmp_path):
    template = "answer the following question about the harbour with a single word please"
    items = [f"{template} lorries{row} crates{row} islands{row} ferries{row} boats" for row in range(1_200)]
    stage = stage_for(tmp_path, items, n=8)
    assert not stage.index.terse.any()
    assert found_in(decided(stage, [template, items[7]], tmp_path)) == {1: "items.jsonl:7"}


# Benchmark files.


def test_items_are_read_from_every_kind_of_file_alike(tmp_path):
    rows = [{"deep": {"question": QUESTION}, "choices": [OTHER, ANSWER], "answer": "b"}, {"deep": {"question": ""},
            "choices": None, "answer": "c"}, {"deep": {"question": OTHER}, "choices": [], "answer": None}]  # fmt: skip
    plain = Path(jsonl(tmp_path / "a.jsonl", rows))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps({"data": {"rows": rows}}).encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    indexes = []
    for name, records in (("a.jsonl", None), ("a.jsonl.gz", None), ("a.json", None), ("b.json.gz", "data.rows"),
                          ("a.parquet", None)):  # fmt: skip
        files = BenchmarkFiles(
            paths=(str(tmp_path / name),), fields=("deep.question", "choices"), answer_fields=("answer",),
            records=records,
        )  # fmt: skip
        indexes.append(load_index({"quiz": files}, 8))
    assert [index.row.tolist() for index in indexes] == [[0]] * 5  # empty, and without an answer
    assert len({index.grams.tobytes() for index in indexes}) == 1
    words = [len(re.findall(r"\w+", text)) for text in (QUESTION, f"{OTHER}\n{ANSWER}")]
    assert indexes[0].sizes.tolist() == [sum(words) - 14]


def test_globs_are_expanded_in_order_and_all_files_enter_the_fingerprint(tmp_path):
    for name in ("b", "a"):
        jsonl(tmp_path / f"{name}.jsonl", [{"text": QUESTION}])
    files = BenchmarkFiles(paths=(str(tmp_path / "*.jsonl"),), fields=("text",))
    stage = Decontamination(benchmarks={"quiz": files})
    assert [path.name for path in stage.files()] == ["a.jsonl", "b.jsonl"]
    assert stage.index.files == ("a.jsonl", "b.jsonl")


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = []
    for folder in ("dev", "test"):
        (tmp_path / folder).mkdir()
        paths.append(jsonl(tmp_path / folder / "a.jsonl", [{"text": f"{folder} {QUESTION}"}]))
    stage = Decontamination(benchmarks={"quiz": BenchmarkFiles(paths=tuple(paths), fields=("text",))})
    assert stage.index.files == ("dev/a.jsonl", "test/a.jsonl")
    assert found_in(decided(stage, [f"a test: {QUESTION}"], tmp_path)) == {0: "test/a.jsonl:0"}


def test_an_index_is_made_anew_when_a_file_is_another(tmp_path):
    stage = stage_for(tmp_path, [QUESTION])
    before = stage.index
    again = stage_for(tmp_path, [QUESTION, OTHER])
    assert len(again.index.sizes) == 2
    assert load_index(again.benchmarks, 8) is again.index is not before


ONE_FIELD = b'{"text": "x"}\n'
OBJECT = b'{"canary": 1, "examples": []}'
BROKEN: dict[str, tuple[str, bytes, dict[str, Any], str]] = {
    "missing": ("none.jsonl", b"", {}, "none.jsonl: there is no such file"),
    "empty": ("a.jsonl", b"", {}, "a.jsonl: holds no item; name another file"),
    "no JSON": ("a.jsonl", ONE_FIELD + b'{"text": \n', {}, "a.jsonl: line 2: is no JSON ("),
    "deep": ("a.jsonl", b"[" * 100_000, {}, "a.jsonl: line 1: is no JSON"),
    "a list": ("a.jsonl", b"[1]\n", {}, "a.jsonl: row 0 is list and no object with fields"),
    "no field": ("a.jsonl", b'{"question": "x", "label": 1}', {}, "row 0 has no field 'text'; it has question, label"),
    "no text": ("a.jsonl", b'{"text": {"en": "x"}}', {}, "row 0: text is dict and no text; name a field in it"),
    "all empty": ("a.jsonl", b'{"text": " "}', {}, "a.jsonl: holds no item"),
    "too short": ("a.jsonl", b'{"text": "What is it?"}', {}, "quiz: no item has 8 words in text; name longer fields"),
    "no answers": (
        "a.jsonl", b'{"text": "x", "answer": null}', {"answer_fields": ("answer",)}, "holds no item with answer"
    ),
    "no answer field": (
        "a.jsonl", ONE_FIELD, {"answer_fields": ("anwser",)}, "no row has the field 'anwser'; mend answer_fields"
    ),
    "an object": ("a.json", OBJECT, {}, "name the field that holds it in `records`; it has canary, examples"),
    "no records": ("a.json", OBJECT, {"records": "data"}, "row 0 has no field 'data'; it has canary, examples"),
    "gzip": ("a.jsonl.gz", gzip.compress(ONE_FIELD * 99)[:-9], {}, "a.jsonl.gz: cannot be read, is damaged"),
    "no gzip": ("a.json.gz", b"[]", {}, "a.json.gz: cannot be read, is damaged or of another kind"),
    "no Parquet": ("a.parquet", b"PAR1", {}, "a.parquet: cannot be read, is damaged or of another kind"),
    "kind": ("a.csv", b"text\n", {}, "a.csv: benchmarks are .jsonl, .json or .parquet files"),
}  # fmt: skip


def test_half_a_pair_of_surrogates_in_a_benchmark_is_no_reason_to_stop(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": f"\ud83d {QUESTION}"}))
    files = BenchmarkFiles(paths=(str(tmp_path / "a.jsonl"),), fields=("text",))
    stage = Decontamination(benchmarks={"quiz": files})
    assert stage.observe(TextBatch(documents_of([QUESTION]))).column("hits")[0].as_py() > 0


@pytest.mark.parametrize("name", BROKEN)
def test_a_benchmark_that_cannot_be_used_is_an_error_before_any_work_starts(tmp_path, name):
    file, content, options, message = BROKEN[name]
    if file != "none.jsonl":
        (tmp_path / file).write_bytes(content)
    files = BenchmarkFiles(paths=(str(tmp_path / file),), fields=("text",), **options)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        Decontamination(benchmarks={"quiz": files}).prepare()
    assert "decontamination.benchmarks.quiz" in str(error.value)


def test_a_parquet_benchmark_without_the_field_names_those_that_there_are(tmp_path):
    pq.write_table(pa.table({"question": ["x"], "label": [1]}), tmp_path / "a.parquet")
    files = BenchmarkFiles(paths=(str(tmp_path / "a.parquet"),), fields=("text",))
    with pytest.raises(InputError, match="has no field 'text'; it has question, label"):
        Decontamination(benchmarks={"quiz": files}).prepare()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"benchmarks": {}}, "names no benchmark"),
        ({"n": 7}, "decontamination.n: 7 must be 8 to 13"),
        ({"min_hits": None, "min_covered": None}, "both null"),
        ({"min_hits": 0}, "min_hits: 0 must be at least 1"),
        ({"min_covered": 1.5}, "min_covered: 1.5 is no share"),
        ({"common_documents": -1}, "common_documents: -1 must not be negative"),
    ],
)
def test_parameters_that_cannot_be_are_refused(options, message):
    files = {"quiz": BenchmarkFiles(paths=("a.jsonl",), fields=("text",))}
    with pytest.raises(RecipeError, match=message):
        Decontamination(**{"benchmarks": files, **options})


def test_fields_that_only_decide_reads_do_not_change_the_sidecars(tmp_path):
    other = {"min_hits": 9, "min_covered": None, "min_covered_terse": 0.1, "common_documents": 99, "common_share": 0.3,
             "action": "cut", "min_left": 7}  # fmt: skip
    assert set(other) == Decontamination.judged_fields
    batch = TextBatch(documents_of(["x " + QUESTION, OTHER]))
    assert stage_for(tmp_path, [QUESTION], **other).observe(batch) == stage_for(tmp_path, [QUESTION]).observe(batch)


# Real benchmarks and real posts.


def real_benchmarks(realdata: Path) -> dict[str, BenchmarkFiles]:
    folder = realdata / "decontam" / "gsm8k_humaneval_bbh_mbpp"
    return {
        "gsm8k": BenchmarkFiles(
            paths=(str(folder / "gsm8k/grade_school_math/data/test.jsonl"),),
            fields=("question", "answer"),
            answer_fields=("answer",),
        ),
        "humaneval": BenchmarkFiles(
            paths=(str(folder / "humaneval/data/HumanEval.jsonl.gz"),), fields=("prompt", "canonical_solution")
        ),
        "mbpp": BenchmarkFiles(paths=(str(folder / "mbpp/data/mbpp.jsonl"),), fields=("text", "code")),
        "bbh": BenchmarkFiles(paths=(str(folder / "bbh/bbh/*.json"),), fields=("input", "target"), records="examples"),
    }


@pytest.mark.realdata
def test_real_benchmarks_planted_whole_are_found_and_posts_without_them_are_not(realdata, tmp_path):
    stage = Decontamination(benchmarks=real_benchmarks(realdata), action="mark")
    items = []
    for files in real_benchmarks(realdata).values():
        for path in files.found():
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            rows = json.loads(content)["examples"] if path.suffix == ".json" else map(json.loads, content.splitlines())
            items += ["\n".join(row[name] for name in files.fields) for row in rows]
    assert len(items) == len(stage.index.sizes) == 8968
    paths = sorted((realdata / "text/newsgroups20_bydate").glob("*/*/*"))[::6]
    posts = [path.read_text("latin-1").partition("\n\n")[2] for path in paths]
    planted = [f"{post}\n\n> {item}\n" for post, item in zip(posts, items[::4])]
    decision = decided(stage, [*planted, *posts[len(planted) :]], tmp_path, parts=4)
    found = found_in(decision)
    assert len(planted) == 2242
    assert len(posts) - len(planted) > 800
    assert set(found) <= set(range(len(planted)))
    assert len(found) >= 0.99 * len(planted)
