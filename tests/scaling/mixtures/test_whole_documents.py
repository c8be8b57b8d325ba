"""What whole documents make of mixtures is known before anything is trained."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.documents.errors import InputError
from corpusmill.mix.keys import TRAIN
from corpusmill.scaling.mixtures.proposal import NEAR
from corpusmill.scaling.mixtures.runs import Trial, mixed_rows
from corpusmill.scaling.mixtures.whole_documents import Achieved, achieved, check_prior_runs


def library(books: int = 5, length: int = 1000) -> pa.Table:
    """Books, each as long as many pages."""
    tokens = np.array([length] * books + [10] * 2000, np.int64)
    book = np.arange(len(tokens)) < books
    return pa.table(
        {
            "id_hash": pa.array(np.random.default_rng(1).integers(0, 2**63, len(tokens)).astype(np.uint64)),
            "tokens": pa.array(tokens),
            "split": pa.array(np.full(len(tokens), TRAIN, np.int8)),
            "pool.books": pa.array(book),
            "pool.web": pa.array(~book),
        }
    )


def trials(tokens: int, most: int = 20_000, books: float = 0.2) -> list[Trial]:
    first = Trial(components=("books", "web"), shares=(books, 1 - books), tokens=tokens, part=tokens / most, seed=0)
    return [replace(first, seed=seed) for seed in range(3)]


def test_a_search_whose_prior_no_run_can_have_is_refused_with_the_tokens_that_are_enough() -> None:
    with pytest.raises(InputError, match=r"--tokens 1,000: in whole documents, half .* 0\.00% instead of") as refused:
        check_prior_runs(library(), trials(1000), 0)
    (said,) = re.findall(r"--tokens ([\d,]+) come near enough", str(refused.value))
    enough = int(said.replace(",", ""))
    assert 1000 < enough <= 20_000
    check_prior_runs(library(), trials(enough), 0)


def test_runs_that_pass_have_a_prior_to_be_compared_with() -> None:
    for tokens in range(200, 20_000, 600):
        asked = trials(tokens)
        try:
            check_prior_runs(library(), asked, 0)
        except InputError:
            continue
        assert achieved(library(), asked, 0).away.min() <= NEAR


def test_where_no_tokens_are_enough_it_says_what_else_to_do() -> None:
    with pytest.raises(InputError, match=r"so do all numbers of tokens up to the 2,000 .*: read books in shorter docu"):
        check_prior_runs(library(books=1, length=5000), trials(500, most=2000), 0)


def test_what_a_run_will_have_is_what_it_has() -> None:
    asked = trials(3000)
    found = achieved(library(), asked, 0)
    for trial, shares in zip(asked, found.shares, strict=True):
        had = mixed_rows(library(), trial, 0)[1]
        assert shares == pytest.approx(had / had.sum())


def test_runs_far_from_their_mixtures_and_components_without_a_document_are_noted() -> None:
    asked = np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [1.0, 0.0]])
    found = Achieved(
        components=("web", "laws"), asked=asked, shares=np.array([[0.88, 0.12], [1.0, 0.0], [0.4, 0.6], [1.0, 0.0]])
    )
    assert found.away == pytest.approx([0.04, 0.2, 0.2, 0.0])
    far, none = found.notes("runs")
    assert far.startswith(
        "further than 5% of the tokens from the mixture that was asked for: 2 of 4 runs, 20.0% at most"
    )
    assert none.startswith("laws: no document of it in 1 of 4 runs, where up to 10.00% were asked for")
    assert replace(found, shares=asked).notes("runs") == ()
