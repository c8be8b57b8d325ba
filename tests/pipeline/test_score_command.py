from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from corpusmill.documents.errors import InputError, UsageError
from corpusmill.mix.quality_score import LOSSES
from corpusmill.pipeline.command import app
from corpusmill.pipeline.score_command import sample_share, score, score_as_text
from corpusmill.pipeline.score_inputs import ScoreInput, find_input
from corpusmill.pipeline.sources.parquet import Parquet

Rows = list[dict[str, Any]]


def texts(count: int, seed: int = 1) -> list[str]:
    """Texts of made words, each of which mostly has one of a few behind it: so their order is one."""
    chance = random.Random(seed)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    vocabulary = sorted({"".join(chance.choices(syllables, k=1 + number % 4)) for number in range(2000)})
    weights = [1 / (rank + 5) for rank in range(len(vocabulary))]
    behind = {word: chance.choices(vocabulary, weights, k=8) for word in vocabulary}
    found = []
    for _ in range(count):
        words = [chance.choice(vocabulary)]
        while len(words) < 150:
            words.append(chance.choice(behind[words[-1]]) if chance.random() < 0.8 else chance.choice(vocabulary))
        found.append(" ".join(words))
    return found


@pytest.fixture
def rows() -> Rows:
    """60 documents, of which 20 are copies, under two names."""
    made = texts(40)
    return [
        {"id": f"d{number}", "text": text, "n_tokens": 150, "source": "web" if number % 2 else "books"}
        for number, text in enumerate([*made, *made[:20]])
    ]


@pytest.fixture
def dataset(tmp_path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=16)
    return tmp_path / "rows.parquet"


def as_jsonl(path: Path, rows: Rows) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


def test_the_score_has_every_part_for_the_whole_and_for_each_source(dataset: Path) -> None:
    told = json.loads(ask(dataset, "--json").stdout)
    assert told["duplicates"] == pytest.approx(1 / 3)
    assert told["q"] == pytest.approx(1 - sum(told[loss] for loss in LOSSES))
    assert told["corruption"] + told["redundancy"] == pytest.approx(1 - told["q"])
    assert (told["documents"], told["tokens"], told["unit"], told["interval"]) == (60, 9000, "n_tokens", None)
    assert set(told["components"]) == {"web", "books"}
    assert sum(own["tokens"] for own in told["components"].values()) == 9000
    assert told["effective_tokens"]["language model"] == pytest.approx(9000 * told["q"] ** (0.401 / 0.396), abs=1)
    assert told["unread"]["reasons"] == {}


def test_a_person_reads_the_same(dataset: Path) -> None:
    told = ask(dataset)
    assert told.exit_code == 0
    assert "60 documents in 1 file, 9,000 n_tokens" in told.stdout
    assert "Q = 0.667, measured in 40 different documents" in told.stdout
    assert "exact duplicates" in told.stdout
    assert "33.33 %" in told.stdout
    assert "books" in told.stdout


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.ndjson"])
def test_json_lines_score_as_parquet_does(tmp_path: Path, dataset: Path, rows: Rows, name: str) -> None:
    file = as_jsonl(tmp_path / name, rows)
    assert score([str(file)]) == score([str(dataset)])


def test_folders_globs_and_several_paths_are_one_dataset(tmp_path: Path, rows: Rows) -> None:
    for number in range(3):
        (tmp_path / "deep" / "er").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows[number::3]), tmp_path / "deep" / "er" / f"{number}.parquet")
    whole = score([str(tmp_path / "deep")])
    assert whole["files"] == 3
    assert whole["duplicates"] == pytest.approx(1 / 3)
    assert score([str(tmp_path / "deep/**/*.parquet")]) == whole
    assert score([str(path) for path in (tmp_path / "deep" / "er").iterdir()]) == whole


def test_a_dataset_of_ours_is_scored_by_its_train_split(tmp_path: Path, rows: Rows) -> None:
    folder = tmp_path / "run" / "dataset"
    (folder / "data").mkdir(parents=True)
    (folder / "heldout").mkdir()
    (folder / "manifest.json").write_text("{}")
    shards = {"data/train-00000-of-00002": rows[:30], "data/train-00001-of-00002": rows[30:],
              "data/validation-00000-of-00001": rows[:5], "heldout/heldout_web-00000-of-00001": rows[:3]}  # fmt: skip
    for name, some in shards.items():
        pq.write_table(pa.Table.from_pylist(some), folder / f"{name}.parquet")
    for path in (folder, folder.parent):
        assert score([str(path)])["documents"] == 60
    assert score([str(folder)], split="validation")["documents"] == 5
    assert score([str(folder)], split="heldout_web")["documents"] == 3
    with pytest.raises(InputError, match="has no split 'test'; --split can be heldout_web, train, validation"):
        score([str(folder)], split="test")


def test_repeated_rows_of_one_id_are_passes_and_of_several_are_duplicates(tmp_path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows[:40] * 2), tmp_path / "twice.parquet")
    twice = score([str(tmp_path / "twice.parquet")])
    assert twice["epochs"] == pytest.approx(0.016, abs=0.001)
    assert twice["duplicates"] == 0
    bare = [{"text": row["text"]} for row in rows[:40] * 2]
    pq.write_table(pa.Table.from_pylist(bare), tmp_path / "bare.parquet")
    assert score([str(tmp_path / "bare.parquet")])["duplicates"] == pytest.approx(0.5)


def test_a_component_is_told_by_its_name_and_other_rows_by_their_source(tmp_path: Path, rows: Rows) -> None:
    named = [row | {"component": "web/de" if number < 10 else None} for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(named), tmp_path / "named.parquet")
    told = score([str(tmp_path / "named.parquet")])
    assert {name: own["documents"] for name, own in told["components"].items()} == {
        "web/de": 10,
        "web": 25,
        "books": 25,
    }
    assert set(score([str(tmp_path / "named.parquet")], by="source")["components"]) == {"web", "books"}


def test_a_sample_has_an_interval_that_holds_the_score_of_the_whole(tmp_path: Path) -> None:
    made = texts(3000)
    pq.write_table(pa.table({"text": made + made[:600]}), tmp_path / "many.parquet")
    whole = score([str(tmp_path / "many.parquet")])
    for sample in ("500", "20%", ".2"):
        told = score([str(tmp_path / "many.parquet")], sample=sample)
        assert 350 < told["sampled_documents"] < 750
        low, high = told["interval"]
        assert low <= told["q"] <= high
        assert low - 0.01 <= whole["q"] <= high + 0.01
        assert told["duplicates"] == whole["duplicates"]
    assert "95 % interval" in score_as_text(told)


def test_a_sample_that_nothing_came_into_is_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="--sample: none of the 60 documents came into a sample of 1e-09 of them"):
        score([str(dataset)], sample="0.000000001")


def test_lines_that_cannot_be_read_are_counted_with_their_place(tmp_path: Path, rows: Rows) -> None:
    file = as_jsonl(tmp_path / "rows.jsonl", rows)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[3:3] = [b'{"text": "cut\n', b"[1, 2]\n", b'{"text": 5}\n']
    file.write_bytes(b"".join(lines))
    told = score([str(file)])
    assert told["documents"] == 60
    assert told["unread"]["reasons"] == {"invalid_json": 1, "not_an_object": 1, "text_not_string": 1}
    assert told["unread"]["first"][0]["offset"] == sum(map(len, lines[:3]))
    assert "3 records could not be read" in score_as_text(told)


def test_what_is_hostile_in_names_stays_on_its_line(tmp_path: Path) -> None:
    made = [{"text": text, "source": f"a\n\x1b[31m{number % 2}"} for number, text in enumerate(texts(6))]
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "rows.parquet")
    assert "\x1b" not in score_as_text(score([str(tmp_path / "rows.parquet")]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": "txt"}, r"has no column 'txt' but id, text, n_tokens, source; did you mean 'text'\?"),
        ({"field": "n_tokens"}, "holds int64, no text; of text are id, text, source"),
        ({"count_column": "tokens"}, r"--count: .*has no column 'tokens'.*did you mean 'n_tokens'\?"),
        ({"count_column": "id"}, "--count: the column 'id' is d0 in .*rows.parquet at 0, no whole number of tokens"),
        ({"by": "sorce"}, r"--by: .*did you mean 'source'\?"),
    ],
)
def test_a_column_that_does_not_serve_is_named(dataset: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        score([str(dataset)], **options)


@pytest.mark.parametrize("value", [-1, 1.5, None])
def test_a_count_that_is_no_whole_number_is_told_with_its_place(tmp_path: Path, rows: Rows, value: object) -> None:
    rows[7]["n_tokens"] = value
    table = pa.Table.from_pylist([row | {"n_tokens": None} for row in rows])
    counts = pa.array([row["n_tokens"] for row in rows], pa.float64())
    pq.write_table(table.set_column(2, "n_tokens", counts), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"'n_tokens' is .* in .*rows\.parquet at 7, no whole number"):
        score([str(tmp_path / "rows.parquet")])
    assert score([str(tmp_path / "rows.parquet")], count_column="bytes")["unit"] == "bytes"


def test_json_lines_without_the_field_say_which_keys_there_are(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(InputError, match='no key "body" with a text among: id, text, n_tokens, source'):
        score([str(as_jsonl(tmp_path / "rows.jsonl", rows))], field="body")


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    for name, content in (("blank.jsonl", b"\n\n"), ("broken.jsonl", b"{\n"), ("garbage.parquet", b"PAR1")):
        (tmp_path / name).write_bytes(content)
    for name in ("empty.parquet", "blank.jsonl", "broken.jsonl", "garbage.parquet"):
        with pytest.raises(InputError, match="holds no document"):
            score([str(tmp_path / name)])
    with pytest.raises(InputError, match=r"broken\.jsonl: holds no document \(1 invalid_json; the first is"):
        score([str(tmp_path / "broken.jsonl")])
    with pytest.raises(InputError, match="matches no file"):
        score([str(tmp_path / "nowhere.parquet")])
    told = ask(tmp_path / "empty.parquet")
    assert told.exit_code == 2
    assert "Traceback" not in told.output


def test_too_many_names_to_report_by_are_refused(tmp_path: Path) -> None:
    made = [{"text": "some words", "source": str(number)} for number in range(1200)]
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "rows.parquet")
    with pytest.raises(UsageError, match="source has more than 1,000 different values"):
        score([str(tmp_path / "rows.parquet")])


def of(documents: int, text_bytes: int) -> ScoreInput:
    return ScoreInput(
        files=(), reader=Parquet, field="text", count=None, by=(), documents=documents, text_bytes=text_bytes
    )


def test_the_sample_is_what_was_asked_for() -> None:
    assert sample_share("all", of(10**9, 10**12)) == 1
    assert sample_share("10_000", of(1_000_000, 1)) == pytest.approx(0.01)
    assert sample_share("2,000", of(1_000, 1)) == 1
    assert sample_share("10%", of(5, 1)) == sample_share(".1", of(5, 1)) == pytest.approx(0.1)
    assert sample_share(None, of(5, 1_000_000)) == 1
    assert sample_share(None, of(5, 64_000_000_000)) == pytest.approx(0.001)
    for wrong in ("0", "-1", "1.5", "x", "200%", "", "nan"):
        with pytest.raises(UsageError, match="--sample"):
            sample_share(wrong, of(10, 10))


def test_how_much_there_is_comes_from_the_files_own_figures(dataset: Path, tmp_path: Path, rows: Rows) -> None:
    size = sum(len(row["text"]) for row in rows)
    given = find_input([str(dataset)], field="text", count=None, by=None, split="train")
    assert given.documents == 60
    assert given.text_bytes == pytest.approx(size, rel=0.2)
    lines = as_jsonl(tmp_path / "rows.jsonl", rows)
    given = find_input([str(lines)], field="text", count=None, by=None, split="train")
    assert given.documents == pytest.approx(60, rel=0.2)
    assert given.text_bytes == pytest.approx(size, rel=0.2)
