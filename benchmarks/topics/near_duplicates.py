"""Near-duplicate search beside datatrove, datasketch, rensa and text-dedup: what is found, and what is removed wrongly.

The truth is counted, not estimated: all pairs of documents whose sets of word 5-grams have a Jaccard similarity of at
least .75 (benchmarks/similar_pairs.py), in the sets of benchmarks/duplicate_sets.py. A pair is found if not both of its
documents stay. A removal is right if a document that stays has at least that similarity to the one that went.

A few hundred pairs were read, those that we removed and those near the threshold (benchmarks/judged_pairs.jsonl: names
hashed). `duplicate`: the one adds nothing to the other but a headline, a byline or a sentence or two; `template`: both
are a form, a notice or filler, and differ in a figure or a word; `different`: each has matter of its own.

    figure recall_at_80                   pairs of similarity .8 or more that are found, over all sets
    figure precision                      removals that are right, over all sets
    figure precision_unverified           the same without verification: components of documents that share a band
    figure revisions_recall               adjacent revisions of similarity .8 or more that are found
    figure revisions_precision            removals of revisions that are right
    figure articles_recall                planted copies of articles that are found, 100, 1,000 and 2,500 articles
    figure articles_false                 articles removed that are no copies
    figure editions_recall                editions of a book that are found
    figure books_merged                   books removed for another book
    figure licences_merged                licences removed for one of another family, of those removed
    figure containment_precision          removals with `similarity: containment` of .9 that are right
    figure containment_recall             documents that stand in one that stays, of half its length or more, removed
    figure judged_duplicates              removed pairs that were read and found duplicates or templates
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duplicate_sets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duplicate_sets import DuplicateSet
from harness import Benchmark, table
from numpy.typing import NDArray
from peers_venv import peers_environment, peers_python
from scipy import sparse
from similar_pairs import SimilarPairs, similar_pairs

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table

JUDGED = Path(__file__).parents[1] / "judged_pairs.jsonl"
JUDGEMENTS = ("duplicate", "template", "different")
_THRESHOLD = MinHashDedup.min_similarity
_BORDERLINE = 0.6  # judged pairs begin here
_FOUND = 0.8  # pairs from here on are to be found
_BATCH = 1_000
_PEERS = ("datatrove", "datasketch", "rensa", "text-dedup")
_QUICK_PEERS = ("datasketch", "rensa")
_BY_SIGNATURES = "ours, by signatures alone"
_UNVERIFIED = "ours, unverified"
_FOLDED = "datatrove, leniently"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Who went, and for whom."""

    twins: dict[int, int]
    signatures: NDArray[np.uint16]
    words: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Score:
    pairs: int  # of the similarity that is to be found
    found: int
    removed: int
    wrong: int

    @property
    def recall(self) -> float:
        return self.found / max(1, self.pairs)

    @property
    def precision(self) -> float:
        return 1 - self.wrong / max(1, self.removed)


def accuracy(benchmark: Benchmark) -> list[str]:
    """Scores everybody on all sets, then looks at each set in its own way."""
    data, quick = benchmark.real_data(), benchmark.quick
    if quick:
        sets = [
            duplicate_sets.terms(data).first(40),
            duplicate_sets.licences(data).first(300),
            duplicate_sets.articles(data, 100),
            duplicate_sets.books(data, 1),
            duplicate_sets.newswire(data).first(1_000),
        ]
    else:
        sets = [make(data) for make in duplicate_sets.SETS]
    peers = _peers(sets, _QUICK_PEERS if quick else _PEERS)
    by_name = {some.name: some for some in sets}
    truths = {some.name: similar_pairs(some.texts, _THRESHOLD) for some in sets}
    ours = {some.name: _decided(MinHashDedup(), some.texts) for some in sets}
    return [
        *_scores(benchmark, sets, truths, ours, peers),
        *_revisions(benchmark, by_name["terms"], truths["terms"], ours["terms"], peers["terms"]),
        *_licences(benchmark, by_name["licences"]),
        *_articles(benchmark),
        *_books(benchmark, by_name["books"], ours["books"]),
        *_contained(benchmark, sets),
        *_judged(benchmark, by_name, ours),
    ]


def _scores(
    benchmark: Benchmark,
    sets: Sequence[DuplicateSet],
    truths: Mapping[str, SimilarPairs],
    ours: Mapping[str, _Outcome],
    peers: Mapping[str, Mapping[str, Sequence[int]]],
) -> list[str]:
    scores: dict[str, list[_Score]] = defaultdict(list)
    for some in sets:
        gone: dict[str, Sequence[int]] = {
            "ours": list(ours[some.name].twins),
            _BY_SIGNATURES: list(_decided(MinHashDedup(margin=0), some.texts).twins),
            _UNVERIFIED: _unverified(ours[some.name]),
            **peers[some.name],
        }
        for who, removed in gone.items():
            scores[who].append(_score(len(some), truths[some.name], removed))
        if "datatrove" in gone:
            folded = similar_pairs(some.texts, _THRESHOLD, fold_numbers=True)
            scores[_FOLDED].append(_score(len(some), folded, gone["datatrove"]))
    for parts in scores.values():
        parts.append(_Score(*(sum(getattr(part, name) for part in parts) for name in _Score.__slots__)))
    benchmark.figure("recall_at_80", scores["ours"][-1].recall)
    benchmark.figure("precision", scores["ours"][-1].precision)
    benchmark.figure("precision_unverified", scores[_UNVERIFIED][-1].precision)
    header = ["", *(some.name for some in sets), "all"]
    size: list[list[object]] = [
        ["documents", *(len(some) for some in sets), sum(map(len, sets))],
        ["pairs from .75 on", *(len(truths[some.name]) for some in sets), sum(map(len, truths.values()))],
        ["pairs from .80 on", *(part.pairs for part in scores["ours"])],
    ]
    return [
        "The sets are whole histories of terms of service, licences as XML and text, articles with planted copies, "
        "books in editions of our own making, web pages, Reuters reports, and posts to newsgroups.",
        table(header, size),
        "Pairs from .80 on of which not both documents stay:",
        table(header, [[who, *(part.recall for part in parts)] for who, parts in scores.items() if who != _FOLDED]),
        "Of the removals, those that are right (in brackets: how many are wrong):",
        table(
            header,
            [[who, *(f"{part.precision:.3f} ({part.wrong:,})" for part in parts)] for who, parts in scores.items()],
        ),
        "`ours` is `minhash_dedup` as it stands; by signatures alone, with `margin: 0`; unverified, all but one of "
        "each component of documents that share a band, as datatrove and text-dedup do. datatrove runs with its 14 "
        f"bands of 8 rows, the other peers at a threshold of {_THRESHOLD}. datatrove takes all numbers for one, so its "
        "last row is more lenient: the truth takes them for one, too.",
    ]


def _revisions(
    benchmark: Benchmark,
    terms: DuplicateSet,
    truth: SimilarPairs,
    ours: _Outcome,
    peers: Mapping[str, Sequence[int]],
) -> list[str]:
    """Adjacent revisions, and whether chains of them end in one document."""
    chains = [
        range(begin, end)
        for begin, end in pairwise([0, *_changes([Path(name).parent for name in terms.names]), len(terms)])
        if end - begin > 1
    ]
    known = {(one, two): value for one, two, value in _rows(truth)}
    adjacent = [pair for chain in chains for pair in pairwise(chain) if known.get(pair, 0) >= _FOUND]
    unlike = [chain for chain in chains if (chain[0], chain[-1]) not in known]
    gone = {"ours": set(ours.twins), _UNVERIFIED: set(_unverified(ours))}
    gone |= {who: set(some) for who, some in peers.items()}
    rows: list[list[object]] = []
    for who, some in gone.items():
        recall = sum(one in some or two in some for one, two in adjacent) / max(1, len(adjacent))
        score = _score(len(terms), truth, sorted(some))
        left = sum(len(set(chain) - some) == 1 for chain in unlike)
        rows.append([who, recall, score.precision, left])
        if who == "ours":
            benchmark.figure("revisions_recall", recall)
            benchmark.figure("revisions_precision", score.precision)
    return [
        "### Chains of revisions",
        f"{len(chains)} histories of terms of service; {len(adjacent)} pairs of adjacent revisions have a similarity "
        f"of .8 or more. In {len(unlike)} histories the last revision is unlike the first (below .75), while most "
        "adjacent ones are alike: the last column counts those of which one revision is left. A star may still hold a "
        "whole history if one in its middle is like all of the others.",
        table(["", "adjacent found", "precision", "one left"], rows),
    ]


def _licences(benchmark: Benchmark, licences: DuplicateSet) -> list[str]:
    """Which licences are removed for another one, by threshold."""
    families = [_licence(name) for name in licences.names]
    rows: list[list[object]] = []
    merged: list[str] = []
    for least in (_THRESHOLD, 0.8, 0.85, 0.9, 0.95, 1.0):
        twins = _decided(MinHashDedup(min_similarity=least), licences.texts).twins
        kinds = Counter(_relation(families[gone], families[kept]) for gone, kept in twins.items())
        rows.append([f"{least}", len(twins), *(kinds[kind] for kind in _RELATIONS)])
        if least == _THRESHOLD:
            others = [pair for pair in twins.items() if _relation(*(families[row] for row in pair)) == _RELATIONS[2]]
            merged = sorted({f"{families[gone]} for {families[kept]}" for gone, kept in others})
            benchmark.figure("licences_merged", len(others) / max(1, len(twins)))
    return [
        "### Families of licences",
        "Documents removed at a `min_similarity`, by what they are to the one that stays: the same licence (its XML, "
        "its text, another collection's copy), another version or variant (`CC-BY-2.0` and `CC-BY-NC-2.0`, `GPL-2.0` "
        "and `GPL-3.0`), or one of another family, by name.",
        table(["min_similarity", "removed", *_RELATIONS], rows),
        "All of them are as similar as they have to be: Mozilla's licence with another owner's name, or Apache's with "
        "a paragraph more, is a near-duplicate by the measure. Where each licence counts, `min_similarity` of .95 or "
        f"`exact_dedup` is the choice. Of another family at {_THRESHOLD}: {'; '.join(merged)}.",
    ]


_RELATIONS = ("the same", "a version or variant", "another family")
_SAME = {
    "bitstream": "bitstream-vera",
    "bsd-0-clause": "0bsd",
    "bsd-2-clause-flex": "bsd-3-clause-flex",
    "business-source-license-1.1": "busl-1.1",
    "gnu-all-permissive-copying-license": "fsfap",
    "htmltidy": "jtidy",
    "linux-syscall-note": "gpl-2.0",
    "mit-khronos-old": "khronos",
    "openldap": "oldap-2.7",
    "psf-2.0": "python-2.0",
    "standardml-nj": "smlnj",
    "tcl_tk": "tcl",
    "ubuntu-font-1.0": "ufl-1.0",
}
"""One licence under two names."""
_GNU = frozenset(("agpl", "gpl", "lgpl"))


def _licence(path: str) -> str:
    """The licence that a file is of, in lower case and by one name; empty for files that test a classifier."""
    parts = path.split("/")
    if parts[:2] == ["google", "v2"]:
        name = parts[4] if parts[2] == "assets" else ""
    else:
        name = re.sub(r"(\.header)?\.(txt|xml|md)$", "", parts[-1])
    name = name.lower().removeprefix("depreciate_").removeprefix("licenseref-")
    name = re.sub(r"-(only|or-later)$|\+$", "", name)
    return _SAME.get(name, name)


def _relation(one: str, two: str) -> str:
    if one == two or not one or not two:
        return _RELATIONS[0]
    return _RELATIONS[1] if _family(one) == _family(two) else _RELATIONS[2]


def _family(licence: str) -> str:
    """What its name begins with; exceptions to the GNU licences are one family with them."""
    stem = re.split(r"[-_]", licence)[0]
    return "gpl" if stem in _GNU or ("-exception" in licence and stem != "apache") else stem


def _articles(benchmark: Benchmark) -> list[str]:
    rows: list[list[object]] = []
    found = planted = false = 0
    for size in (100,) if benchmark.quick else (100, 1000, 2500):
        articles = duplicate_sets.articles(benchmark.real_data(), size)
        truth = duplicate_sets.planted_articles(benchmark.real_data(), size)
        twins = _decided(MinHashDedup(), articles.texts).twins
        pairs = {frozenset((articles.names[gone], articles.names[kept])) for gone, kept in twins.items()}
        rows.append([f"{size:,} articles", len(truth), len(pairs & truth), len(pairs - truth)])
        found, planted, false = found + len(pairs & truth), planted + len(truth), false + len(pairs - truth)
    benchmark.figure("articles_recall", found / planted)
    benchmark.figure("articles_false", false)
    return ["### Planted copies of articles", table(["", "copies", "found", "others removed"], rows)]


def _books(benchmark: Benchmark, books: DuplicateSet, ours: _Outcome) -> list[str]:
    titles, editions = zip(*(name.split("|") for name in books.names), strict=True)
    gone = {edition: [0, 0] for edition in duplicate_sets.EDITIONS}
    for row, edition in enumerate(editions):
        gone[edition][0] += 1
        gone[edition][1] += row in ours.twins
    merged = sum(titles[one] != titles[two] for one, two in ours.twins.items())
    whole = [row for row, edition in enumerate(editions) if edition != "excerpt"]
    spare = len(whole) - len({titles[row] for row in whole})
    benchmark.figure("editions_recall", sum(row in ours.twins for row in whole) / max(1, spare))
    benchmark.figure("books_merged", merged)
    return [
        "### Books",
        f"{len(set(titles))} books in {len(duplicate_sets.EDITIONS)} editions each. The collection has no title twice, "
        "so all editions but the first are made here (benchmarks/duplicate_sets.py): wrapped anew with other matter "
        "before and after, a tenth cut, spelled anew; one of the four should stay. An excerpt, a third of the book, is "
        f"contained in it but no near-duplicate. Books removed for another book: {merged}.",
        table(["edition", "books", "removed"], [[edition, *counts] for edition, counts in gone.items()]),
    ]


def _contained(benchmark: Benchmark, sets: Sequence[DuplicateSet]) -> list[str]:
    """Which documents go that stand in a longer one, by how much of the longer one they are."""
    stage = MinHashDedup(similarity="containment", min_similarity=0.9, bands=28, rows=4, keep="longest")
    gone, stay = np.zeros(len(_PARTS), np.int64), np.zeros(len(_PARTS), np.int64)
    removed = wrong = 0
    for some in sets:
        truth = similar_pairs(some.texts, stage.min_similarity, containment=True)
        twins = _decided(stage, some.texts).twins
        known = {(one, two) for one, two, _ in _rows(truth)}
        removed += len(twins)
        wrong += sum((min(pair), max(pair)) not in known for pair in twins.items())
        part: dict[int, float] = {}  # of the longest document that has it and stays, for each that is contained
        for pair in known:
            for one, two in (pair, pair[::-1]):
                if two not in twins and (truth.sizes[one], -one) < (truth.sizes[two], -two):
                    part[one] = max(part.get(one, 0.0), truth.sizes[one] / truth.sizes[two])
        for one, share in part.items():
            (gone if one in twins else stay)[int(np.searchsorted(_PART_BOUNDS, share, "right"))] += 1
    halves = gone[2:].sum(), stay[2:].sum()
    benchmark.figure("containment_precision", 1 - wrong / max(1, removed))
    benchmark.figure("containment_recall", float(halves[0] / max(1, sum(halves))))
    return [
        "### Documents that stand in longer ones",
        "With `similarity: containment`, `min_similarity: 0.9`, `bands: 28`, `rows: 4`, `keep: longest`, all sets: of "
        "the documents nine tenths of which stand in a longer one that stays, those that go and those that stay, by "
        f"how long they are beside it (in different 5-grams). {wrong} of {removed:,} removals are wrong. Pairs are "
        "proposed by their Jaccard similarity, so a short passage of a long document is mostly missed.",
        table(
            ["length", "go", "stay", "share that goes"],
            [
                [name, int(one), int(two), float(one / max(1, one + two))]
                for name, one, two in zip(_PARTS, gone, stay, strict=True)
            ],
        ),
    ]


_PARTS = ("below a quarter", "a quarter to a half", "a half to three quarters", "three quarters and more")
_PART_BOUNDS = (0.25, 0.5, 0.75)


def _judged(benchmark: Benchmark, by_name: Mapping[str, DuplicateSet], ours: Mapping[str, _Outcome]) -> list[str]:
    """What was read, at the similarity that it has now."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    judged = [json.loads(line) for line in JUDGED.read_text().splitlines()]
    missing = 0
    for name, pairs in _by_set(judged):
        if name not in by_name:
            continue
        some = by_name[name]
        rows = {hashed(title): row for row, title in enumerate(some.names)}
        here = [pair for pair in pairs if pair["one"] in rows and pair["two"] in rows]
        missing += len(pairs) - len(here)
        if not here:
            continue
        places = sorted({rows[pair[side]] for pair in here for side in ("one", "two")})
        known = similar_pairs([some.texts[row] for row in places], _BORDERLINE)
        similar = {(places[left], places[right]): value for left, right, value in _rows(known)}
        for pair in here:
            one, two = sorted((rows[pair["one"]], rows[pair["two"]]))
            similarity = similar.get((one, two), 0.0)
            band = _band(similarity)
            counts[f"{name}, {band}"][pair["judged"]] += 1
            kinds[(pair["judged"], pair["kind"])]["removed" if similarity >= _THRESHOLD else "kept"] += 1
    removed = Counter[str]()
    for (judgement, _), sides in kinds.items():
        removed[judgement] += sides["removed"]
    benchmark.figure("judged_duplicates", 1 - removed["different"] / max(1, removed.total()))
    by_band = sorted(counts, key=lambda title: (title.partition(", ")[0], _BANDS.index(title.partition(", ")[2])))
    by_kind = sorted(kinds, key=lambda key: (JUDGEMENTS.index(key[0]), key[1]))
    paragraphs = [
        "### Pairs that were read",
        f"{len(judged)} pairs: all pages that were removed when this was read, some of the removed reports and posts, "
        "drawn by hash, and pairs of .60 to .85, four of two hosts at most. By the similarity that they have now:",
        table(
            ["set and similarity", *JUDGEMENTS],
            [[title, *(counts[title][judgement] for judgement in JUDGEMENTS)] for title in by_band],
        ),
        "By kind:",
        table(
            ["judged and kind", "at or above .75", "below"],
            [[": ".join(key), kinds[key]["removed"], kinds[key]["kept"]] for key in by_kind],
        ),
    ]
    if missing:
        paragraphs.append(f"{missing} pairs are left out: their documents are not in the sets as loaded here.")
    return paragraphs


def hashed(name: str) -> str:
    """How a document's name stands in the judged file."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


_BANDS = ("below .60", ".60 to .75", ".75 to .85", ".85 and more")


def _band(similarity: float) -> str:
    return _BANDS[int(np.searchsorted([_BORDERLINE, _THRESHOLD, 0.85], similarity, "right"))]


def _by_set(judged: Sequence[dict[str, str]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for name in sorted({pair["set"] for pair in judged}):
        yield name, [pair for pair in judged if pair["set"] == name]


def _changes(values: Sequence[object]) -> list[int]:
    """Where a value differs from the one before it."""
    return [row for row in range(1, len(values)) if values[row] != values[row - 1]]


def _rows(pairs: SimilarPairs) -> Iterator[tuple[int, int, float]]:
    return zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarities.tolist(), strict=True)


def _score(documents: int, truth: SimilarPairs, removed: Sequence[int]) -> _Score:
    gone = np.zeros(documents, np.bool_)
    gone[list(removed)] = True
    right = np.zeros(documents, np.bool_)
    for one, two in ((truth.left, truth.right), (truth.right, truth.left)):
        right[one[gone[one] & ~gone[two]]] = True
    wanted = truth.of_at_least(_FOUND)
    found = int(np.count_nonzero(gone[wanted.left] | gone[wanted.right]))
    return _Score(len(wanted), found, int(gone.sum()), int(np.count_nonzero(gone & ~right)))


def _decided(stage: MinHashDedup, texts: Sequence[str]) -> _Outcome:
    """Runs the stage over texts as the pipeline does: sidecars, then the decision."""
    stage.prepare()
    documents = TextBatch.of_texts(texts).documents
    ids = pa.array([f"{row:08}" for row in range(len(texts))])
    documents = documents.set_column(0, DOCUMENT.field("id"), ids)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = folder / "workspace"
        workspace.mkdir()
        sidecars, observed = [], []
        for begin in range(0, len(texts), _BATCH):
            observed.append(stage.observe(TextBatch(documents.slice(begin, _BATCH))))
            sidecars.append(folder / f"{begin}.parquet")
            write_table(sidecars[-1], [observed[-1]], stage.sidecar)

        def read_texts(wanted: Sequence[str]) -> Iterator[TextBatch]:
            rows = [int(identity) for identity in wanted]
            for begin in range(0, len(rows), _BATCH):
                yield TextBatch(documents.take(pa.array(rows[begin : begin + _BATCH], pa.int64())))

        nobody = pa.array([], pa.string())
        decision = stage.decide(sidecars, excluded=nobody, read_texts=read_texts, workspace=workspace)
    rows = decision.verdicts.to_pylist()
    values = b"".join(value for batch in observed for value in batch.column("signature").to_pylist())
    return _Outcome(
        {int(row["id"]): int(row["kept_id"]) for row in rows},
        np.frombuffer(values, "<u2").reshape(len(texts), stage.permutations),
        np.concatenate([batch.column("words").to_numpy() for batch in observed]),
    )


def _unverified(outcome: _Outcome) -> list[int]:
    """All but the first of each component of documents that agree in a band: what the bands alone would remove."""
    stage = MinHashDedup()
    usable = np.flatnonzero(outcome.words > 0)
    columns, first = [], 0
    for band in range(stage.bands):
        values = np.ascontiguousarray(outcome.signatures[usable, band * stage.rows : (band + 1) * stage.rows])
        _, keys = np.unique(values.view(f"V{2 * stage.rows}").ravel(), return_inverse=True)
        columns.append(keys + first)
        first += int(keys.max(initial=0)) + 1
    rows, ones = np.tile(np.arange(len(usable)), stage.bands), np.ones(len(usable) * stage.bands, np.int32)
    members = sparse.csr_array((ones, (rows, np.concatenate(columns))), shape=(len(usable), first))
    _, components = sparse.csgraph.connected_components(members @ members.T, directed=False)
    _, firsts = np.unique(components, return_index=True)
    gone: list[int] = np.delete(usable, firsts).tolist()
    return gone


def _peers(sets: Sequence[DuplicateSet], peers: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Rows that each peer removes from each set."""
    script = Path(__file__).parents[1] / "peer_near_duplicates.py"
    with tempfile.TemporaryDirectory() as folder:
        for some in sets:
            pq.write_table(pa.table({"text": some.texts}), Path(folder) / f"{some.name}.parquet")
        answer = subprocess.run(
            [peers_python(), script, folder, str(_THRESHOLD), *peers],
            env=peers_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if answer.returncode:
        raise RuntimeError(f"{script.name} ended with {answer.returncode}:\n{answer.stderr[-2_000:]}")
    found: dict[str, dict[str, list[int]]] = json.loads(answer.stdout)
    return found
