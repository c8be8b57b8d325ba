from __future__ import annotations

import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.mix.measurement import MEASUREMENT, measure_part
from corpusmill.mix.options import MixOptions, Unit
from corpusmill.mix.units import count_units

TEXTS = ["", "a", "Grüße, Welt!", "日本語です。", "word " * 1000, "\ufffd\x00\n"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Words and punctuation, cut to 8 tokens and padded, as a fine-tuned model's file may ask."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.enable_truncation(8)
    made.enable_padding(length=8)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return str(path)


@pytest.mark.parametrize(
    ("unit", "counts"),
    [
        ("bytes", [len(text.encode()) for text in TEXTS]),
        ("characters", [len(text) for text in TEXTS]),
        ("estimated_tokens", [(len(text.encode()) + 3) // 4 for text in TEXTS]),
        ("words", [0, 1, 4, 6, 1000, 2]),
        ("documents", [1] * len(TEXTS)),
    ],
)
def test_units_are_counted_for_each_document(unit: Unit, counts: list[int]) -> None:
    assert count_units(TextBatch.of_texts(TEXTS), unit, None).tolist() == counts


def test_tokens_are_counted_of_the_whole_text_whatever_the_file_says_of_truncation(tokenizer: str) -> None:
    counts = count_units(TextBatch.of_texts(TEXTS), "tokens", tokenizer).tolist()
    assert counts == [len(re.findall(r"\w+|[^\w\s]+", text)) for text in TEXTS]


def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json is no file; give the path of a Hugging Face tokenizer\.json"):
        count_units(TextBatch.of_texts(TEXTS), "tokens", str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json is no Hugging Face tokenizer\.json: "):
        count_units(TextBatch.of_texts(TEXTS), "tokens", str(tmp_path / "bad.json"))


def test_a_measurement_has_a_row_for_each_document_in_the_parts_order(tmp_path: Path, tokenizer: str) -> None:
    import pyarrow.parquet as pq

    from tests.mix.conftest import make_documents, write_part

    documents = make_documents("web", 700)
    part = write_part(tmp_path / "part.parquet", documents)
    options = MixOptions(ratios={"web": 1.0}, unit="tokens", tokenizer=tokenizer)
    assert measure_part(part, tmp_path / "measured.parquet", options).rows == 700
    table = pq.read_table(tmp_path / "measured.parquet")
    assert table.schema.equals(MEASUREMENT)
    assert table.column("id").to_pylist() == [document["id"] for document in documents]
    assert table.column("text_bytes").to_pylist() == [len(document["text"].encode()) for document in documents]
    assert table.column("units").to_pylist() == [
        len(re.findall(r"\w+|[^\w\s]+", document["text"])) for document in documents
    ]


def test_a_measurement_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    from tests.mix.conftest import make_documents, write_part

    part = write_part(tmp_path / "part.parquet", make_documents("web", 100))
    sums = {
        measure_part(part, tmp_path / f"{seed}.parquet", MixOptions(ratios={"web": 1.0}, seed=seed)).sha256
        for seed in (1, 2)
    }
    assert len(sums) == 1


def test_a_tokenizer_that_was_replaced_is_loaded_anew(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    for split, count in ((pre_tokenizers.Whitespace(), 3), (pre_tokenizers.CharDelimiterSplit("|"), 1)):
        made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        made.pre_tokenizer = split
        made.save(str(path))
        assert count_units(TextBatch.of_texts(["one two three"]), "tokens", str(path)).tolist() == [count]
