from __future__ import annotations

import random
import re

import numpy as np
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.corruption import KINDS, corrupted_shares
from corpusmill.mix.evidence import Gathering


def test_a_document_loses_each_byte_at_most_once_and_an_empty_one_none() -> None:
    shares = corrupted_shares(TextBatch.of_texts(["", " \n", "\ufffd" * 100, "Ã¼Ã¤" * 50, "abc"]))
    assert shares.shape == (5, len(KINDS))
    assert shares.sum(axis=1).tolist() == pytest.approx([0, 0, 1, 1, 0])


def test_without_evidence_words_are_not_judged() -> None:
    words = re.findall(r"\w+", "the committee met on Tuesday to discuss the plans for a new bridge over the river") * 30
    random.Random(1).shuffle(words)
    assert corrupted_shares(TextBatch.of_texts([" ".join(words)])).sum() == 0


def test_evidence_of_nothing_judges_nothing() -> None:
    evidence = Gathering().evidence()
    assert np.all(corrupted_shares(TextBatch.of_texts(["one two three " * 50]), evidence) == 0)
