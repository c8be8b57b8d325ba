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
    figure judged_duplicate               of the pairs read whose similarity is .75 or more, those judged duplicates
    figure judged_template                the same, templates
    figure judged_different               the same, different documents
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duplicate_sets
import numpy as np
from duplicate_runs import Outcome, decided, removed_by_peers, unverified
from duplicate_sets import DuplicateSet
from harness import Benchmark, table
from licence_names import RELATIONS, licence, relation
from similar_pairs import SimilarPairs, similar_pairs

from corpusmill.dedup.minhash import MinHashDedup

JUDGED = Path(__file__).parents[1] / "judged_pairs.jsonl"
JUDGEMENTS = ("duplicate", "template", "different")
_THRESHOLD = MinHashDedup.min_similarity
_FOUND = 0.8  # pairs from here on are to be found
_PEERS = ("datatrove", "datasketch", "rensa", "text-dedup")
_QUICK_PEERS = ("datasketch", "rensa")
_BY_SIGNATURES = "ours, by signatures alone"
_UNVERIFIED = "ours, unverified"
_FOLDED = "datatrove, leniently"
_BANDS = ("below .60", ".60 to .75", ".75 to .85", ".85 and more")
_BAND_BOUNDS = (0.6, _THRESHOLD, 0.85)
_PARTS = ("below a quarter", "a quarter to a half", "a half to three quarters", "three quarters and more")
_PART_BOUNDS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class _Score:
    pairs: int  # of a similarity of .8
    found: int
    all_pairs: int  # of .75
    all_found: int
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
    peers = removed_by_peers(sets, _QUICK_PEERS if quick else _PEERS, _THRESHOLD)
    by_name = {some.name: some for some in sets}
    truths = {some.name: similar_pairs(some.texts, _THRESHOLD) for some in sets}
    ours = {some.name: decided(MinHashDedup(), some.texts) for some in sets}
    return [
        *_scores(benchmark, sets, truths, ours, peers),
        *_revisions(benchmark, by_name["terms"], truths["terms"], ours["terms"], peers["terms"]),
        *_licences(benchmark, by_name["licences"]),
        *_articles(benchmark),
        *_books(benchmark, by_name["books"], ours["books"]),
        *_contained(benchmark, sets),
        *_judged(benchmark, by_name),
    ]


def _scores(
    benchmark: Benchmark,
    sets: Sequence[DuplicateSet],
    truths: Mapping[str, SimilarPairs],
    ours: Mapping[str, Outcome],
    peers: Mapping[str, Mapping[str, Sequence[int]]],
) -> list[str]:
    scores: dict[str, list[_Score]] = defaultdict(list)
    for some in sets:
        gone: dict[str, Sequence[int]] = {
            "ours": list(ours[some.name].twins),
            _BY_SIGNATURES: list(decided(MinHashDedup(margin=0), some.texts).twins),
            _UNVERIFIED: unverified(ours[some.name]),
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
        "Pairs from .80 on of which not both documents stay (in brackets: of those from .75 on; the bands propose "
        "fewer of them):",
        table(
            header,
            [
                [who, *(f"{part.recall:.3f} ({part.all_found / max(1, part.all_pairs):.3f})" for part in parts)]
                for who, parts in scores.items()
                if who != _FOLDED
            ],
        ),
        "Of the removals, those that are right (in brackets: how many are wrong):",
        table(
            header,
            [[who, *(f"{part.precision:.3f} ({part.wrong:,})" for part in parts)] for who, parts in scores.items()],
        ),
        "`ours` is `minhash_dedup` as it stands; by signatures alone, with `margin: 0`; unverified, all but one of "
        "each component of documents that share a band, as datatrove and text-dedup do. datatrove runs with its 14 "
        f"bands of 8 rows, the other peers at a threshold of {_THRESHOLD}. datatrove takes all numbers for one, so its "
        "last row is more lenient: the truth takes them for one, too. The peers' words are runs of letters and digits; "
        "ours, and the truth's, are single characters where a script has no spaces.",
    ]


def _revisions(
    benchmark: Benchmark,
    terms: DuplicateSet,
    truth: SimilarPairs,
    ours: Outcome,
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
    gone = {"ours": set(ours.twins), _UNVERIFIED: set(unverified(ours))}
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
    families = [licence(name) for name in licences.names]
    rows: list[list[object]] = []
    merged: list[str] = []
    for least in (_THRESHOLD, 0.8, 0.85, 0.9, 0.95, 1.0):
        twins = decided(MinHashDedup(min_similarity=least), licences.texts).twins
        kinds = Counter(relation(families[gone], families[kept]) for gone, kept in twins.items())
        rows.append([f"{least}", len(twins), *(kinds[kind] for kind in RELATIONS)])
        if least == _THRESHOLD:
            others = [pair for pair in twins.items() if relation(*(families[row] for row in pair)) == RELATIONS[2]]
            merged = sorted({f"{families[gone]} for {families[kept]}" for gone, kept in others})
            benchmark.figure("licences_merged", len(others) / max(1, len(twins)))
    return [
        "### Families of licences",
        "Documents removed at a `min_similarity`, by what they are to the one that stays: the same licence (its XML, "
        "its text, another collection's copy), another version or variant (`CC-BY-2.0` and `CC-BY-NC-2.0`, `GPL-2.0` "
        "and `GPL-3.0`), or one of another family, by name.",
        table(["min_similarity", "removed", *RELATIONS], rows),
        "All of them are as similar as they have to be: Mozilla's licence with another owner's name, or Apache's with "
        "a paragraph more, is a near-duplicate by the measure. Where each licence counts, `exact_dedup` is the "
        f"choice: no threshold tells them all apart. Of another family at {_THRESHOLD}: {'; '.join(merged)}.",
    ]


def _articles(benchmark: Benchmark) -> list[str]:
    rows: list[list[object]] = []
    found = planted = false = 0
    for size in (100,) if benchmark.quick else (100, 1000, 2500):
        articles = duplicate_sets.articles(benchmark.real_data(), size)
        truth = duplicate_sets.planted_articles(benchmark.real_data(), size)
        twins = decided(MinHashDedup(), articles.texts).twins
        pairs = {frozenset((articles.names[gone], articles.names[kept])) for gone, kept in twins.items()}
        rows.append([f"{size:,} articles", len(truth), len(pairs & truth), len(pairs - truth)])
        found, planted, false = found + len(pairs & truth), planted + len(truth), false + len(pairs - truth)
    benchmark.figure("articles_recall", found / planted)
    benchmark.figure("articles_false", false)
    return ["### Planted copies of articles", table(["", "copies", "found", "others removed"], rows)]


def _books(benchmark: Benchmark, books: DuplicateSet, ours: Outcome) -> list[str]:
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
        twins = decided(stage, some.texts).twins
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


def _judged(benchmark: Benchmark, by_name: Mapping[str, DuplicateSet]) -> list[str]:
    """What was read, at the similarity that it has now."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])  # pairs that are similar, and others
    judged = [json.loads(line) for line in JUDGED.read_text().splitlines()]
    missing = 0
    for name, pairs in _by_set(judged):
        some = by_name.get(name, DuplicateSet(name))
        rows = {hashed(title): row for row, title in enumerate(some.names)}
        here = [pair for pair in pairs if pair["one"] in rows and pair["two"] in rows]
        missing += len(pairs) - len(here)
        if not here:
            continue
        places = sorted({rows[pair[side]] for pair in here for side in ("one", "two")})
        known = similar_pairs([some.texts[row] for row in places], _BAND_BOUNDS[0])
        similar = {(places[left], places[right]): value for left, right, value in _rows(known)}
        for pair in here:
            one, two = sorted((rows[pair["one"]], rows[pair["two"]]))
            similarity = similar.get((one, two), 0.0)
            counts[f"{name}, {_band(similarity)}"][pair["judged"]] += 1
            kinds[pair["judged"], pair["kind"]][similarity < _THRESHOLD] += 1
    similar_ones = Counter[str]()
    for (judgement, _), (alike, _) in kinds.items():
        similar_ones[judgement] += alike
    for judgement in JUDGEMENTS:
        benchmark.figure(f"judged_{judgement}", similar_ones[judgement] / max(1, similar_ones.total()))
    by_band = sorted(counts, key=lambda title: (title.partition(", ")[0], _BANDS.index(title.partition(", ")[2])))
    by_kind = sorted(kinds, key=lambda key: (JUDGEMENTS.index(key[0]), key[1]))
    paragraphs = [
        "### Pairs that were read",
        f"{len(judged)} pairs: all pages that were removed when this was read, some of the removed reports and posts, "
        "drawn by hash, and pairs of .60 to .85, four of two hosts at most. Read were the beginnings, and what "
        "differs. By the similarity that they have now:",
        table(
            ["set and similarity", *JUDGEMENTS],
            [[title, *(counts[title][judgement] for judgement in JUDGEMENTS)] for title in by_band],
        ),
        "By kind:",
        table(
            ["judged and kind", "at or above .75", "below"],
            [[": ".join(key), *kinds[key]] for key in by_kind],
        ),
    ]
    if missing:
        paragraphs.append(f"{missing} pairs are left out: their documents are not in the sets as loaded here.")
    return paragraphs


def hashed(name: str) -> str:
    """How a document's name stands in the judged file."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def _band(similarity: float) -> str:
    return _BANDS[int(np.searchsorted(_BAND_BOUNDS, similarity, "right"))]


def _by_set(judged: Sequence[dict[str, str]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for name in sorted({pair["set"] for pair in judged}):
        yield name, [pair for pair in judged if pair["set"] == name]


def _changes(values: Sequence[object]) -> list[int]:
    """Where a value differs from the one before it."""
    return [row for row in range(1, len(values)) if values[row] != values[row - 1]]


def _rows(pairs: SimilarPairs) -> Iterator[tuple[int, int, float]]:
    return zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarities.tolist(), strict=True)


def _score(documents: int, truth: SimilarPairs, removed: Sequence[int]) -> _Score:
    """How many of the pairs are found, and how many removals are wrong."""
    gone = np.zeros(documents, np.bool_)
    gone[list(removed)] = True
    right = np.zeros(documents, np.bool_)
    for one, two in ((truth.left, truth.right), (truth.right, truth.left)):
        right[one[gone[one] & ~gone[two]]] = True
    found = gone[truth.left] | gone[truth.right]
    wanted = truth.similarities >= _FOUND
    counts = (wanted.sum(), (found & wanted).sum(), len(truth), found.sum(), gone.sum(), (gone & ~right).sum())
    return _Score(*map(int, counts))
