"""Trains pipeline/content/model.npz, which tells a page's main content from what stands around it.

    python tools/train_content_model.py REALDATA [--out model.npz]

Trained on two thirds of daniel's and trafilatura's pages, cut by domain, and on all of readability's; judged on the
rest and on scrapinghub's (benchmarks/gold_pages.py). Needs the development requirements; takes about ten minutes of
one core.

Labels. A piece of a page is main content where .5 of its words stand in four words in a row of the gold text, a piece
of fewer words where they stand there right beside its neighbour's. trafilatura's pages come with phrases alone: pieces
that hold them weigh twice, and the others weigh half and are labelled by what trafilatura itself extracts. daniel's
titles, and captions of readability's, weigh nothing: whether they belong to the text is a convention that differs.
A first round of cross-validation finds labels that are likely wrong (daniel's gold texts lack paragraphs): those weigh
little or nothing in the second.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trafilatura
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from gold_pages import GoldPage, gold_pages, phrase_scores, shingle_scores, word_scores, words

from corpusmill.documents.compiled import frozen
from corpusmill.pipeline.content.elements import Place
from corpusmill.pipeline.content.features import NAMES, WORD_BITS, context, features
from corpusmill.pipeline.content.features import words as places_in_lexicon
from corpusmill.pipeline.content.forest import SHIPPED, Forest, Model, save
from corpusmill.pipeline.content.page import joined
from corpusmill.pipeline.content.scan import Scan, decoded_references, scan
from corpusmill.pipeline.extraction import decoded

PACKS = ("scrapinghub", "daniel", "trafilatura", "readability")
FOLDS = 4
DOUBTING = {"max_iter": 60, "max_leaf_nodes": 24, "learning_rate": 0.2}
FIRST = {"max_iter": 140, "max_leaf_nodes": 24, "learning_rate": 0.12}
SECOND = {"max_iter": 70, "max_leaf_nodes": 16, "learning_rate": 0.12}
_COMMON = {"l2_regularization": 1.0, "min_samples_leaf": 60, "max_bins": 63, "max_features": 0.3}
_EASY_SHARE = 0.3  # of the pieces that anything tells from main content, so many are trained on
_NEAR = 4  # pieces between a short one and the neighbour that it is found beside
_PROSE, _LINK_SHARE = NAMES.index("is_prose"), NAMES.index("link_share")


@dataclass(slots=True)
class Page:
    """A page with its labels."""

    gold: GoldPage
    scan: Scan
    title: str
    texts: list[str]
    label: NDArray[np.bool_]
    weight: NDArray[np.float64]
    words: NDArray[np.uint16]
    word_starts: NDArray[np.int32]
    target: str = ""
    likely: NDArray[np.float64] | None = None
    """How likely main content a model is sure of each piece that did not see the page."""
    measured: Any = None
    around: Any = None

    @property
    def fold(self) -> int:
        return hashlib.blake2b(b"f" + self.gold.domain.encode(), digest_size=2).digest()[0] % FOLDS

    def weights(self) -> NDArray[np.float64]:
        """Of the pieces: by their words, as F1 counts those; each page weighs the same."""
        by_words = self.weight * np.maximum(1, [len(words(text)) for text in self.texts]) ** 0.7
        return by_words * (100 / max(by_words.sum(), 1e-9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("realdata", type=Path)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    pages = [labelled(page) for page in gold_pages(given.realdata, PACKS)]
    train = [page for page in pages if not page.gold.judged]
    say(f"{len(train):,} pages to train on, {len(pages) - len(train):,} to be judged by")
    cross_validate(train, DOUBTING)
    for page in train:
        distrust(page)
    cross_validate(train, FIRST)
    second_inputs(train)
    halves = [[page for page in train if page.fold % 2 == half] for half in range(2)]
    for half, other in zip(halves, reversed(halves), strict=True):
        predict(fitted(other, "around", SECOND), half, "around")
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7):
        report(f"cross-validated, threshold {threshold}", train, threshold)
    second = fitted(train, "around", SECOND)
    lexicon = measure(train, train)
    first = fitted(train, "measured", FIRST)
    save(given.out, Model(lexicon, forest(first), forest(second)))
    judged = [page for page in pages if page.gold.judged]
    measure(train, judged)
    predict(first, judged, "measured")
    second_inputs(judged)
    predict(second, judged, "around")
    report("judged, threshold 0.5", judged, 0.5)


def say(line: str) -> None:
    print(line, flush=True)


def labelled(page: GoldPage) -> Page:
    """The pieces of a page, and which of them are main content."""
    html = decoded(page.payload(), None)
    encoded = html.encode()
    found = scan(encoded)
    texts = pieces_of(found)
    title = decoded_references(encoded[slice(*found.title)])
    tokens = [words(text) for text in texts]
    weight = np.ones(len(texts))
    target = page.gold
    if page.pack == "daniel":
        first, _, rest = target.lstrip().partition("\n")
        headline = set(words(first))
        covered = coverage(tokens, words(rest))
        for index, piece in enumerate(tokens):
            if piece and len(headline & set(piece)) > 0.8 * len(headline | set(piece)):
                weight[index] = 0
    elif page.pack == "trafilatura":
        extracted = trafilatura.bare_extraction(html, with_metadata=False)
        covered = coverage(tokens, words((extracted.text if extracted else "") or ""))
        weight *= 0.5
        lines = [f" {' '.join(piece)} " for piece in tokens]
        for phrases, wanted in ((page.musts, 1.0), (page.must_nots, 0.0)):
            for phrase in phrases:
                sought = f" {' '.join(words(phrase))} "
                for index, line in enumerate(lines):
                    if sought in line and (wanted or len(sought) >= 0.35 * len(line)):
                        covered[index], weight[index] = wanted, 2
    else:
        if page.pack == "readability":
            target = "\n".join(pieces_of(scan(target.encode())))
            around = np.uint64(Place.FIGURE | Place.CAPTION)
            weight[found.places & around != 0] = 0
        covered = coverage(tokens, words(target))
    label = covered >= 0.5
    # Of the same text at several places, the one that stands among main content is meant.
    times = Counter(map(tuple, tokens))
    alone = label & np.array([times[tuple(piece)] == 1 for piece in tokens], bool)
    for index in np.flatnonzero(label & ~alone):
        if not alone[max(0, index - 2) : index + 3].any():
            weight[index] *= 0.1
    return Page(page, found, title, texts, label, weight, *places_in_lexicon(found), target)


def pieces_of(found: Scan) -> list[str]:
    return [found.text[start:end].tobytes().decode("utf-8", "replace") for start, end in found.pieces[:, :2]]


def coverage(pieces: list[list[str]], gold: list[str]) -> NDArray[np.float64]:
    """The share of each piece's words that the gold text holds, four in a row."""
    places: dict[tuple[str, ...], int] = {}
    for at in range(len(gold) - 3):
        places.setdefault(tuple(gold[at : at + 4]), at)
    covered = np.zeros(len(pieces))
    spans: list[tuple[int, int] | None] = [None] * len(pieces)
    for index, piece in enumerate(pieces):
        hits = [(at, places[gram]) for at in range(len(piece) - 3) if (gram := tuple(piece[at : at + 4])) in places]
        if hits:
            covered[index] = len({at + step for at, _ in hits for step in range(4)}) / len(piece)
            if covered[index] >= 0.6:
                spans[index] = (hits[0][1] - hits[0][0], hits[-1][1] - hits[-1][0] + len(piece))
    for order in (range(len(pieces)), range(len(pieces) - 1, -1, -1)):
        forward = order.step > 0
        last, edge = -1, -1
        for index in order:
            piece, span = pieces[index], spans[index]
            if span is None and 0 < len(piece) < 4 and last >= 0 and abs(index - last) <= _NEAR:
                begin = max(0, edge - 1 if forward else edge - len(piece) - 4)
                near = gold[begin : edge + 4 + len(piece) if forward else edge + 1]
                if any(near[at : at + len(piece)] == piece for at in range(len(near) - len(piece) + 1)):
                    covered[index] = 1
                    span = spans[index] = (edge, edge + len(piece)) if forward else (edge - len(piece), edge)
            if span is not None:
                last, edge = index, span[1] if forward else span[0]
    return covered


def distrust(page: Page) -> None:
    """Takes weight from labels that a model which did not see the page is sure are wrong."""
    likely, label = page.likely, page.label
    if page.gold.pack == "daniel":
        page.weight[~label & (likely > 0.85) & (page.measured[:, _PROSE] > 0)] = 0
        page.weight[label & (likely < 0.03)] *= 0.3
    elif page.gold.pack == "trafilatura":
        page.weight[(page.weight < 1) & np.where(label, likely < 0.05, likely > 0.9)] *= 0.2


def cross_validate(train: list[Page], options: dict[str, Any]) -> None:
    """The first pass' judgement of each page, by a model that saw no page of its domain."""
    for fold in range(FOLDS):
        others = [page for page in train if page.fold != fold]
        measure(others, train)
        model = fitted(others, "measured", options)
        predict(model, [page for page in train if page.fold == fold], "measured")
    report("cross-validated, first pass", train, 0.5)


def measure(known: list[Page], pages: list[Page]) -> NDArray[np.float32]:
    """Features of the first pass, with a lexicon made of the pages `known`, which it returns."""
    lexicon = lexicon_of(known)
    for page in pages:
        page.measured = features(page.scan, page.title, lexicon)
    return lexicon


def lexicon_of(pages: list[Page]) -> NDArray[np.float32]:
    """How much each word speaks for main content, each domain counting once."""
    size = 1 << WORD_BITS
    by_domain: dict[str, NDArray[np.float32]] = {}
    for page in pages:
        counts = by_domain.setdefault(page.gold.domain, np.zeros((2, size), np.float32))
        lengths = np.diff(page.word_starts)
        trusted = np.repeat(page.weight > 0.2, lengths)
        label = np.repeat(page.label, lengths)
        for row in (0, 1):
            np.add.at(counts[row], page.words[trusted & (label == row)], 1)
    total = np.zeros((2, size))
    for counts in by_domain.values():
        whole = counts.sum(axis=0)
        total[:, whole > 0] += counts[:, whole > 0] / whole[whole > 0]
    return frozen(np.log((total[1] + 1) / (total[0] + 1)).astype(np.float32))


def second_inputs(pages: list[Page]) -> None:
    for page in pages:
        likely = np.clip(page.likely, 1e-4, 1 - 1e-4)
        page.around = context(page.scan, page.measured, np.log(likely / (1 - likely)).astype(np.float32))


def fitted(pages: list[Page], inputs: str, options: dict[str, Any]) -> HistGradientBoostingClassifier:
    rows = np.concatenate([getattr(page, inputs) for page in pages])
    label = np.concatenate([page.label for page in pages])
    weight = np.concatenate([page.weights() for page in pages])
    links = np.concatenate([page.measured[:, _LINK_SHARE] for page in pages])
    likely = np.concatenate([page.likely if page.likely is not None else np.ones(len(page.label)) for page in pages])
    easy = ~label & ((links > 0.9) | (likely < 0.02))
    chance = np.random.default_rng(0).random(len(label))
    used = (weight > 0) & (~easy | (chance < _EASY_SHARE))
    weight = np.where(easy, weight / _EASY_SHARE, weight)
    model = HistGradientBoostingClassifier(**options, **_COMMON, early_stopping=False, random_state=0)
    return model.fit(rows[used], label[used], sample_weight=weight[used])


def predict(model: HistGradientBoostingClassifier, pages: list[Page], inputs: str) -> None:
    for page in pages:
        rows = getattr(page, inputs)
        page.likely = model.predict_proba(rows)[:, 1] if len(rows) else np.zeros(0)


def forest(model: HistGradientBoostingClassifier) -> Forest:
    """scikit-learn's trees as arrays."""
    trees = [trees_of_turn[0].nodes for trees_of_turn in model._predictors]
    sizes = [len(nodes) for nodes in trees]
    starts = np.cumsum([0, *sizes[:-1]])
    nodes = np.concatenate(trees)
    shift = np.repeat(starts, sizes)
    leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        base=float(model._baseline_prediction.ravel()[0]),
        roots=starts.astype(np.int32),
        column=np.where(leaf, -1, nodes["feature_idx"]).astype(np.int16),
        threshold=np.where(leaf, nodes["value"], nodes["num_threshold"]).astype(np.float32),
        left=np.where(leaf, 0, nodes["left"] + shift).astype(np.int32),
        right=np.where(leaf, 0, nodes["right"] + shift).astype(np.int32),
    )


def report(line: str, pages: list[Page], threshold: float) -> None:
    parts = []
    for pack in PACKS:
        chosen = [page for page in pages if page.gold.pack == pack]
        if not chosen:
            continue
        texts = [joined(page.scan, page.likely >= threshold) for page in chosen]
        if pack == "trafilatura":
            found, left_out, score = phrase_scores([page.gold for page in chosen], texts)
        else:
            scores = shingle_scores if pack == "scrapinghub" else word_scores
            found, left_out, score = scores([page.target for page in chosen], texts)
        parts.append(f"{pack} {found:.3f} {left_out:.3f} {score:.4f}")
    say(f"{line}: {' | '.join(parts)}")


if __name__ == "__main__":
    main()
