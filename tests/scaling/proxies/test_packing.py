"""Packed rows and windows: each token and each end of a document once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.scaling.proxies import packing
from corpusmill.scaling.proxies.packing import PADDING, Stream, windows
from tests.scaling.made_trainings import EOS, tokens_of

DOCUMENTS = st.lists(st.lists(st.integers(1, 9), max_size=9), min_size=1, max_size=6).filter(any)


def rows_of(stream: Stream) -> list[list[tuple[int, int]]]:
    """Inputs and targets of all rows that are no padding, step after step."""
    rows = []
    for step in range(stream.steps):
        batch = stream.batch(step)
        for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            counted = [pair for pair in zip(inputs, targets, strict=True) if pair[1] != PADDING]
            assert targets == [target for _, target in counted] + [PADDING] * (len(targets) - len(counted))
            rows.append(counted)
    return rows


@given(DOCUMENTS, st.integers(1, 60), st.integers(2, 7))
def test_the_targets_of_all_rows_are_the_documents_and_their_ends(
    documents: list[list[int]], tokens: int, context: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SHUFFLED_STEPS", 1)  # with one row a step: as they lie in the stream
        stream = Stream(tokens_of(documents), tokens, EOS, 3, context, 1)
        pairs = [pair for row in rows_of(stream) for pair in row]
    said = [target for _, target in pairs]
    assert [given for given, _ in pairs] == [EOS, *said[:-1]]
    assert len(said) == stream.targets
    assert sum(target != EOS for target in said) == tokens
    in_order = [token for document in documents for token in [*document, EOS]]
    assert said[: len(in_order)] == in_order[: len(said)]
    # Later epochs hold every document once, in some order; the last is cut.
    whole = Counter(map(tuple, documents))
    for first in range(0, len(said) - len(in_order) + 1, len(in_order)):
        assert Counter(pieces(said[first : first + len(in_order)])) == whole


def pieces(said: list[int]) -> list[tuple[int, ...]]:
    """What stands before each `eos`."""
    ends = [-1, *(place for place, token in enumerate(said) if token == EOS)]
    return [tuple(said[before + 1 : end]) for before, end in pairwise(ends)]


@given(DOCUMENTS, st.integers(1, 200), st.integers(2, 5), st.integers(1, 3), st.integers(1, 4))
def test_rows_are_shuffled_among_steps_and_none_is_lost(
    documents: list[list[int]], tokens: int, context: int, rows: int, block: int
) -> None:
    train = tokens_of(documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SHUFFLED_STEPS", 1)
        straight = rows_of(Stream(train, tokens, EOS, 3, context, 1))
        patch.setattr(packing, "SHUFFLED_STEPS", block)
        stream = Stream(train, tokens, EOS, 3, context, rows)
        shuffled = rows_of(stream)
        assert sum(stream.tokens_in(step) for step in range(stream.steps)) == tokens
        assert stream.tokens_in(0) == sum(target != EOS for row in shuffled[:rows] for _, target in row)
    for first in range(0, len(straight), rows * block):
        of_block = slice(first, first + rows * block)
        assert sorted(shuffled[of_block]) == sorted(straight[of_block])


def test_the_seed_decides_the_order_of_rows_and_of_later_epochs() -> None:
    train = tokens_of([[number] for number in range(1, 100)])

    def said(seed: int) -> list[list[tuple[int, int]]]:
        return rows_of(Stream(train, 198, EOS, seed, 4, 5))

    assert said(1) == said(1)
    assert said(1) != said(2)
    assert sorted(said(1)) != sorted(said(2))


def test_a_batch_knows_its_documents_and_those_of_each_row() -> None:
    train = tokens_of([[1, 2, 3], [4, 5], [6], [7, 8, 9, 1, 2]])
    stream = Stream(train, 11, EOS, 0, 4, 9)
    by_row = {tuple(inputs): stream.documents(0, row).tolist() for row, inputs in enumerate(stream.batch(0).inputs)}
    assert by_row == {
        (EOS, 1, 2, 3): [0],
        (EOS, 4, 5, EOS): [1, 2],  # the 6 is the last target
        (6, EOS, 7, 8): [2, 3],
        (9, 1, 2, EOS): [3],
    }
    assert stream.documents(0).tolist() == [0, 1, 2, 3]


@given(DOCUMENTS, st.integers(2, 8), st.integers(1, 40))
def test_windows_judge_each_token_and_end_once_on_half_a_context_or_all_there_is(
    documents: list[list[int]], context: int, most: int
) -> None:
    # Tokens that are their place in the set, so that each can be told from all others.
    first = np.cumsum([0, *(len(document) for document in documents)])
    named = [[int(first[n]) + place + 1 for place in range(len(document))] for n, document in enumerate(documents)]
    judged: Counter[int] = Counter()
    for rows, places in windows(tokens_of(named), EOS, context, most):
        for targets, place in zip(rows.targets.tolist(), places.tolist(), strict=True):
            assert {target for target in targets if target not in (PADDING, EOS)} <= {*named[place]}
        assert rows.inputs.shape[1] <= context
        assert rows.inputs.size <= max(most, context)
        for inputs, targets in zip(rows.inputs.tolist(), rows.targets.tolist(), strict=True):
            for place, target in enumerate(targets):
                if target == PADDING:
                    continue
                judged[target] += 1
                seen = inputs[: place + 1]
                if target == EOS:
                    assert seen[-1] == EOS or any(seen[-1] == document[-1] for document in named if document)
                else:
                    document = next(document for document in named if target in document)
                    before = [EOS, *document[: document.index(target)]]
                    assert seen == before[-len(seen) :]
                    assert len(seen) >= min(len(before), context // 2)
    assert judged.pop(EOS) == len(documents)
    assert judged == Counter(token for document in named for token in document)
