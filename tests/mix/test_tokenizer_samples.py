from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.documents.errors import InputError
from corpusmill.mix.tokenizer_samples import Sample, draw, find_corpora


def texts(sample: Sample) -> list[str]:
    return sample.rows.column("text").to_pylist()


def write(path: Path, sources: dict[str, int], first: int = 0, rows_in_group: int = 50) -> Path:
    """Rows of 100 bytes, the sources' rows in turns."""
    rows = [
        {"text": f"{source} {first + number} ".ljust(100, "x"), "source": source, "language": "de", "n_tokens": 1}
        for source, count in sources.items()
        for number in range(count)
    ]
    order = np.random.default_rng(3).permutation(len(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([rows[place] for place in order]), path, row_group_size=rows_in_group)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder as `corpusmill mix` writes it, with as much of `web` as nine times `code`."""
    folder = tmp_path / "dataset"
    for shard in range(4):
        write(folder / "data" / f"train-{shard:05d}-of-00004.parquet", {"web": 900, "code": 100}, first=1000 * shard)
    write(folder / "data" / "validation-00000-of-00001.parquet", {"web": 90, "code": 10}, first=10_000)
    return folder


def test_a_sample_follows_the_ratios_of_the_dataset(dataset: Path) -> None:
    sample = draw(find_corpora([str(dataset)]), text_bytes=100_000, seed=1)
    assert 95_000 < sample.text_bytes <= 100_000
    assert sample.sources["code"] / sample.text_bytes == pytest.approx(0.1, abs=0.03)
    assert len(set(texts(sample))) == len(texts(sample))
    assert set(sample.rows.column("language").to_pylist()) == {"de"}


def test_only_some_row_groups_of_a_dataset_are_read(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = pq.ParquetFile.iter_batches

    def counting(self: pq.ParquetFile, rows: int, groups: list[int], *rest: object, **named: object) -> object:
        read.extend(groups)
        return original(self, rows, groups, *rest, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counting)
    draw(find_corpora([str(dataset)]), text_bytes=20_000, seed=1)
    assert 4 <= len(read) <= 12  # of 80, each of 5,000 bytes of text


def test_the_sample_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    rows = [f"text number {number} of some length" for number in range(2000)]
    for name, some in (("a", rows), ("b", rows[::-1])):
        for part in range(3):
            path = tmp_path / name / f"{part}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps({"text": row}) + "\n" for row in some[part::3]))
    drawn = [texts(draw(find_corpora([str(tmp_path / name)]), text_bytes=9000, seed=5)) for name in "ab"]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) != set(texts(draw(find_corpora([str(tmp_path / "a")]), text_bytes=9000, seed=6)))
    larger = texts(draw(find_corpora([str(tmp_path / "a")]), text_bytes=18_000, seed=5))
    assert larger[: len(drawn[0])] == drawn[0]


def test_weights_decide_the_shares_and_a_short_source_makes_the_sample_smaller(dataset: Path) -> None:
    corpora = find_corpora([str(dataset)])
    sample = draw(corpora, text_bytes=60_000, seed=1, weights={"web": 1, "code": 1})
    assert sample.sources == {"code": 30_000, "web": 30_000}
    short = draw(corpora, text_bytes=300_000, seed=1, weights={"web": 0.75, "code": 0.25})
    assert short.sources == {"code": 40_000, "web": 120_000}  # there are 40,000 bytes of code
    with pytest.raises(InputError, match=r"no text of a source 'cod' is in the input; did you mean 'code'\?"):
        draw(corpora, text_bytes=1000, seed=1, weights={"cod": 1})
    with pytest.raises(InputError, match="not all above 0"):
        draw(corpora, text_bytes=1000, seed=1, weights={"web": 0})


def test_held_out_is_the_validation_split_where_there_is_one(dataset: Path) -> None:
    held = draw(find_corpora([str(dataset)]), text_bytes=1_000_000, seed=1, held_out=True)
    assert len(texts(held)) == 100
    assert {text.split()[1] for text in texts(held)} >= {"10000", "10009"}


def test_elsewhere_some_texts_are_held_out_and_never_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "web.jsonl"
    rows = [f"text {number}" for number in range(3000)]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    corpora = find_corpora([str(path)])
    trained, held = (texts(draw(corpora, text_bytes=10**6, seed=2, held_out=some)) for some in (False, True))
    assert sorted(trained + held) == sorted(rows)
    assert 30 < len(held) < 100


def test_the_stages_of_a_dataset_are_read_together(tmp_path: Path) -> None:
    for stage in ("first", "second"):
        write(tmp_path / "dataset" / stage / "data" / "train-00000-of-00001.parquet", {stage: 100})
        write(tmp_path / "dataset" / stage / "data" / "validation-00000-of-00001.parquet", {stage: 7}, first=900)
    for folder in (tmp_path, tmp_path / "dataset"):
        corpora = find_corpora([str(folder)])
        assert draw(corpora, text_bytes=10**6, seed=0).sources == {"first": 10_000, "second": 10_000}
        assert draw(corpora, text_bytes=10**6, seed=0, held_out=True).sources == {"first": 700, "second": 700}


def test_runs_and_named_files_are_found(tmp_path: Path, dataset: Path) -> None:
    write(tmp_path / "run" / "web" / "curated" / "part-0.parquet", {"web": 10})
    assert find_corpora([str(tmp_path / "run")])[0].train == (tmp_path / "run" / "web" / "curated" / "part-0.parquet",)
    assert find_corpora([str(dataset.parent)])[0].shuffled  # the folder of a run that has a dataset
    (tmp_path / "a.txt").write_text("a text")
    [corpus] = find_corpora([f"notes={tmp_path / 'a.txt'}"])
    assert corpus.source == "notes"
    assert draw([corpus], text_bytes=100, seed=0).sources in ({"notes": 6}, {})
    with pytest.raises(InputError, match="there is no such file, folder or glob"):
        draw(find_corpora([str(tmp_path / "none")]), text_bytes=100, seed=0)
    with pytest.raises(InputError, match=r'has no string column "body", but text, source'):
        draw(find_corpora([str(dataset)]), text_bytes=100, seed=0, field="body")
