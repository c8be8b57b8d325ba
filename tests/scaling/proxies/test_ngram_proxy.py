"""The n-gram proxy against modified Kneser-Ney in plain Python with a closed vocabulary, and odd cells."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.pipeline.recipe import build
from corpusmill.scaling.contract import Tokens, Trained, Training
from corpusmill.scaling.proxies.ngram_proxy import NgramProxy

Document = list[int]
START = -1


class PlainKneserNey:
    """Every probability from its definition. `documents` are ids; each is followed by `eos`."""

    def __init__(self, documents: Sequence[Document], order: int, vocab_size: int, eos: int) -> None:
        self.vocab_size = vocab_size
        occurrences: Counter[tuple[int, ...]] = Counter()
        for document in documents:
            whole = (START, *document, eos)
            for end in range(2, len(whole) + 1):
                occurrences.update(whole[begin:end] for begin in range(max(0, end - order), end))
        lefts = defaultdict(set)
        for gram in occurrences:
            lefts[gram[1:]].add(gram[0])
        # Kneser & Ney: below the highest order, how many different tokens come before; nothing comes before a start.
        self.counts: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
        for gram, times in occurrences.items():
            whole = len(gram) == order or gram[0] == START
            self.counts[gram[:-1]][gram[-1]] = times if whole else len(lefts[gram])
        self.discounts = [self._of_order(n) for n in range(order)]

    def _of_order(self, n: int) -> list[float]:
        times = Counter(count for gram, after in self.counts.items() if len(gram) == n for count in after.values())
        if all(times[count] for count in (1, 2, 3, 4)):
            share = times[1] / (times[1] + 2 * times[2])
            found = [count - (count + 1) * share * times[count + 1] / times[count] for count in (1, 2, 3)]
            if min(found) > 0:
                return [0.0, *found]
        return [0.0, 0.5, 1.0, 1.5]

    def probability(self, context: tuple[int, ...], token: int) -> float:
        lower = self.probability(context[1:], token) if context else 1 / self.vocab_size
        after = self.counts.get(context)
        if not after:
            return lower
        cut = {each: self.discounts[len(context)][min(count, 3)] for each, count in after.items()}
        total = sum(after.values())
        return (after.get(token, 0) - cut.get(token, 0.0)) / total + sum(cut.values()) / total * lower

    def bits(self, document: Document, order: int, eos: int) -> float:
        whole = (START, *document, eos)
        return -sum(
            math.log2(self.probability(whole[max(0, end - order + 1) : end], whole[end]))
            for end in range(1, len(whole))
        )


def tokens(documents: Sequence[Document], kind: type[np.unsignedinteger] = np.uint16) -> Tokens:
    return Tokens(
        ids=np.array([token for document in documents for token in document], kind),
        offsets=np.cumsum([0, *map(len, documents)], dtype=np.int64),
        text_bytes=np.ones(len(documents), np.int64),
        documents=pa.array([str(number) for number in range(len(documents))]),
    )


def training(
    documents: Sequence[Document], heldout: Sequence[Document] = ([1, 2],), most: int = 10**6, **changed: object
) -> Training:
    given = Training(
        train=tokens(documents),
        heldout={"all": tokens(heldout)},
        tokens=most,
        vocab_size=8,
        eos_id=0,
        tokenizer=Path("none.json"),
        seed=0,
        folder=Path("none"),
    )
    return replace(given, **changed)  # type: ignore[arg-type]


def trained(documents: Sequence[Document], order: int = 3, **options: object) -> Trained:
    return NgramProxy(order=order).run(training(documents, **options))  # type: ignore[arg-type]


def zipf_documents(seed: int, count: int = 60, vocab_size: int = 8) -> list[Document]:
    generator = np.random.default_rng(seed)
    weights = 1 / np.arange(1, vocab_size)
    lengths = generator.integers(0, 30, count)
    return [(1 + generator.choice(vocab_size - 1, length, p=weights / weights.sum())).tolist() for length in lengths]


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=10), min_size=1, max_size=10),
    st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=4),
    st.integers(2, 5),
    st.integers(6, 9),
    st.integers(0, 5),
)
@settings(max_examples=150)
def test_losses_are_those_of_plain_kneser_ney(
    documents: list[Document], heldout: list[Document], order: int, vocab_size: int, eos: int
) -> None:
    documents, heldout = ([[each for each in text if each != eos] for text in texts] for texts in (documents, heldout))
    if not any(documents):
        documents.append([(eos + 1) % 6])
    plain = PlainKneserNey(documents, order, vocab_size, eos)
    given = training(documents, vocab_size=vocab_size, eos_id=eos)
    domains = {str(number): tokens([document]) for number, document in enumerate(heldout)}
    found = NgramProxy(order=order).run(replace(given, heldout=domains)).bits_per_byte
    assert list(found) == list(domains)
    for document, bits in zip(heldout, found.values(), strict=True):
        assert bits == pytest.approx(plain.bits(document, order, eos), rel=1e-5)


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=6),
    st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=6),
)
@settings(max_examples=30)
def test_the_bits_of_documents_are_those_of_each_alone(documents: list[Document], heldout: list[Document]) -> None:
    documents.append([1])
    given = training(documents, heldout)  # an end of text may stand inside of them
    found = NgramProxy(order=3).run(given).bits["all"]
    for document, bits in zip(heldout, found, strict=True):
        alone = NgramProxy(order=3).run(training(documents, [document])).bits["all"]
        assert bits == pytest.approx(alone[0], rel=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_losses_of_a_larger_cell_are_those_of_plain_kneser_ney(seed: int) -> None:
    documents, heldout = zipf_documents(seed, 400), zipf_documents(seed + 100, 20)
    plain = PlainKneserNey(documents, 4, 8, 0)
    assert plain.discounts[3] != [0.0, 0.5, 1.0, 1.5]
    mean = sum(plain.bits(document, 4, 0) for document in heldout) / len(heldout)
    assert trained(documents, 4, heldout=heldout).bits_per_byte["all"] == pytest.approx(mean, rel=1e-6)


def test_after_every_context_the_probabilities_of_all_ids_sum_to_one() -> None:
    plain = PlainKneserNey(zipf_documents(7, 20), 3, 10, 0)
    for context in itertools.chain([()], *(itertools.product([START, *range(1, 10)], repeat=n) for n in (1, 2))):
        probabilities = [plain.probability(context, token) for token in range(10)]
        assert min(probabilities) > 0
        assert sum(probabilities) == pytest.approx(1, abs=1e-12)


def test_documents_by_the_chance_that_the_model_gives_them_sum_to_one() -> None:
    # Of two tokens and the end, where documents are short: few are longer than twelve tokens.
    texts = [[1], [2], [], [1, 2], [2, 2], [1, 1], [], [2]]
    every = [list(text) for length in range(13) for text in itertools.product((1, 2), repeat=length)]
    domains = {str(number): tokens([text]) for number, text in enumerate(every)}
    given = training(texts, vocab_size=3)
    bits = NgramProxy(order=2).run(replace(given, heldout=domains)).bits_per_byte
    total = sum(2.0**-each for each in bits.values())
    plain = PlainKneserNey(texts, 2, 3, 0)
    assert total == pytest.approx(sum(2.0 ** -plain.bits(text, 2, 0) for text in every), rel=1e-5)
    assert 0.99 < total < 1


def test_an_end_inside_a_text_ends_it_there() -> None:
    documents = [[1, 2, 0, 3, 1], [0, 0, 2], [1, 3, 0]]
    apart = [[1, 2], [3, 1], [], [], [2], [1, 3], []]
    inside = trained(documents, heldout=[[2, 0, 1]]).bits_per_byte["all"]
    outside = trained(apart, heldout=[[2], [1]]).bits_per_byte["all"]
    assert inside == pytest.approx(2 * outside)  # of one text, not of two


@pytest.mark.parametrize(("most", "cut"), [(1, [[1]]), (4, [[1, 2, 1, 3]]), (6, [[1, 2, 1, 3], [2, 2]]), (10, None)])
def test_fewer_tokens_cut_the_documents_short(most: int, cut: list[Document] | None) -> None:
    documents = [[1, 2, 1, 3], [2, 2, 3, 1, 1], [3]]
    found = trained(documents, most=most)
    assert found.bits_per_byte == trained(cut or documents).bits_per_byte
    assert found.train_tokens == most
    assert found.told["counted_tokens"] == most
    assert "repetition" not in found.told


def test_more_tokens_than_there_are_change_nothing_and_this_is_told() -> None:
    documents = zipf_documents(1)
    once, often = (trained(documents, most=n * sum(map(len, documents))) for n in (1, 4))
    assert once.bits_per_byte == often.bits_per_byte
    assert often.train_tokens == 4 * once.train_tokens
    assert "repetition" not in once.told
    assert often.told["repetition"] == "not seen"


def test_a_slice_of_longer_arrays_is_trained_on_alone() -> None:
    documents = zipf_documents(2)
    whole = tokens(documents, np.uint32)
    later = replace(whole, offsets=whole.offsets[10:], text_bytes=whole.text_bytes[10:], documents=whole.documents[10:])
    most = int(later.offsets[-1] - later.offsets[0])
    found = NgramProxy().run(replace(training([], most=most), train=later, heldout={"all": later}))
    alone = NgramProxy().run(training(documents[10:], documents[10:], most=most))
    assert found.bits_per_byte == alone.bits_per_byte
    assert found.told["counted_tokens"] == most


def test_ids_that_were_never_seen_have_a_probability() -> None:
    found = trained([[1]], heldout=[[7, 6, 5], [2]])
    assert 0 < found.bits_per_byte["all"] < 4 * 3 * math.log2(8)


def test_what_a_run_tells_is_json_and_complete() -> None:
    found = trained(zipf_documents(3), 4)
    assert len(found.told["ngrams"]) == len(found.told["discounts"]) == 4
    assert found.told["ngrams"] == sorted(found.told["ngrams"])
    assert found.told["train_seconds"] > 0
    assert (found.parameters, found.flops) == (None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"documents": []}, "the documents to train on have no token"),
        ({"documents": [[], [0, 0]]}, "the documents to train on have no token"),
        ({"documents": [[1]], "most": 0}, "0 tokens to train on are too few"),
        ({"documents": [[1, 8]]}, "train: has token ids from 1 to 8, and the vocabulary 8"),
        ({"documents": [[1]], "heldout": [[9]]}, r"heldout\.all: has token ids from 9 to 9"),
        ({"documents": [[1]], "heldout": []}, r"heldout\.all: has no text"),
        ({"documents": [[1]], "eos_id": 8}, "vocabulary of 8 tokens with 8 as the end"),
        ({"documents": [[1]], "vocab_size": 1 << 25}, "give 2 to"),
    ],
)
def test_cells_that_cannot_be_trained_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        trained(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [1, 6])
def test_an_order_out_of_range_is_refused_in_the_recipe(order: int) -> None:
    with pytest.raises(RecipeError, match=rf"proxies\.ngram: order: {order} is out of range; use 2 to 5"):
        build(NgramProxy, {"order": order}, "proxies.ngram")


def test_it_is_made_from_a_recipe_and_goes_to_other_processes() -> None:
    proxy = build(NgramProxy, {"order": 4}, "proxies.ngram")
    assert pickle.loads(pickle.dumps(proxy)) == proxy  # noqa: S301 — ours
    proxy.check()
    with pytest.raises(RecipeError, match="unknown key"):
        build(NgramProxy, {"orders": 4}, "proxies.ngram")


def test_longer_training_and_higher_orders_cost_more() -> None:
    seconds = [NgramProxy(order=order).cost(n, 4096).seconds or 0.0 for n in (10**5, 10**7) for order in (2, 5)]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < seconds[-1] < 60
    assert NgramProxy().cost(10**6, 4096).flops is None


@pytest.mark.realdata
def test_more_english_lowers_the_loss_on_english_and_shuffled_english_helps_less(english_texts: list[str]) -> None:
    generator = np.random.default_rng(0)
    encoded = [list(english_texts[place].encode()) for place in generator.permutation(len(english_texts))[:600]]
    shuffled = [generator.permutation(text).tolist() for text in encoded]
    held, given = encoded[500:], {"vocab_size": 257, "eos_id": 256}

    def loss(documents: list[Document]) -> float:
        held_tokens = replace(tokens(held), text_bytes=np.array([len(text) for text in held]))
        run = training(documents, most=10**7, **given)
        return NgramProxy().run(replace(run, heldout={"all": held_tokens})).bits_per_byte["all"]

    few, many, junk = loss(encoded[:100]), loss(encoded[:500]), loss([*encoded[:100], *shuffled[100:500]])
    assert 1.5 < many < few - 0.2
    assert few < junk < 5
