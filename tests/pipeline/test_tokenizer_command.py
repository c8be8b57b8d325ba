from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from corpusmill.documents.errors import UsageError
from corpusmill.pipeline.command import app
from corpusmill.pipeline.tokenizer_command import parsed_size, parsed_weights

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `corpusmill mix` writes it, of this repository's pages and modules."""
    folder = tmp_path_factory.mktemp("dataset")
    pages = [
        {"text": page, "source": source, "language": language}
        for source, language, pattern in (("docs\x1b[31m", "en", "docs/*.md"), ("code", None, "mix/*.py"))
        for file in sorted(REPOSITORY.glob(pattern))
        for page in file.read_text().split("\n\n")
    ]
    (folder / "data").mkdir()
    for split, rows in (("train", pages[::2]), ("validation", pages[1::2])):
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def answer(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["tokenizer", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("out") / "small"
    code, told = answer("train", dataset, "--out", out, "--vocab-size", "1k", "--digits", "individual")
    assert code == 0, told
    return out, told


def test_training_prints_what_was_trained_on_and_the_fertility(trained: tuple[Path, str]) -> None:
    out, told = trained
    assert f"wrote {out / 'tokenizer.json'}, 1,024 tokens, fingerprint " in told
    assert "docs?[31m" in told  # the names of sources come out of documents
    assert "\x1b" not in told
    head = next(line for line in told.splitlines() if line.startswith("source"))
    assert head.split() == ["source", "language", "text", "words", "tokens/word", "bytes/token", "split"]
    rows = [line.split() for line in told.splitlines() if line.startswith(("code", "docs?", "all"))]
    assert {row[0]: row[1] for row in rows} == {"code": "unknown", "docs?[31m": "en", "all": "all"}


def test_several_tokenizers_stand_beside_each_other(trained: tuple[Path, str], dataset: Path, tmp_path: Path) -> None:
    out, _ = trained
    larger = tmp_path / "larger"
    assert answer("train", dataset, "--out", larger, "--vocab-size", "2048")[0] == 0
    paths = out / "tokenizer.json", larger / "tokenizer.json"
    code, told = answer("fertility", *paths, dataset)
    assert code == 0
    assert "(1) small: these texts use" in told
    assert "(2) larger: these texts use" in told
    code, told = answer("fertility", *paths, dataset, "--json")
    assert code == 0
    data = json.loads(told)
    small, large = data["total"]["tokens_per_word"]
    assert large < small
    assert [tokenizer["name"] for tokenizer in data["tokenizers"]] == ["small", "larger"]


def test_weights_and_json(dataset: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path, "--vocab-size", "600", "--sample-mb", ".05", "--weights", "code=3", "--json")
    code, told = answer("train", dataset, *options)
    assert code == 0
    assert list(json.loads(told)["trained_on"]) == ["code"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--vocab-size", "many"), "'many' is no number of tokens"),
        (("--vocab-size", "256"), "256 cannot be trained"),
        (("--sample-mb", "0"), "0.0 is no amount of text"),
        (("--digits", "two"), "'two' is not known"),
        (("--weights", "code"), "'code' is no source with its share"),
        (("--weights", "none=1"), "no text of a source 'none'"),
        (("--special-token", "x"), "'x' would be met in ordinary text"),
        (("--vocab-size", "1000k"), "bytes of text support"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(
    dataset: Path, tmp_path: Path, arguments: tuple[str, str], problem: str
) -> None:
    code, told = answer("train", dataset, "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert problem in told
    assert not (tmp_path / "out").exists()


def test_the_folder_to_write_must_be_none_or_a_folder(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, told = answer("train", dataset, "--out", tmp_path / "file")
    assert (code, "is no folder" in told) == (2, True)


def test_sizes_and_weights_are_read() -> None:
    assert [parsed_size(text) for text in ("32k", "256K", "50_000", "50,000")] == [32768, 262144, 50000, 50000]
    assert parsed_weights(None) == {}
    with pytest.raises(UsageError, match="'web' is given twice"):
        parsed_weights("web=1,web=2")
