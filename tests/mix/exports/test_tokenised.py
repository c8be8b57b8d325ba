"""The pass over a shard: what goes to whom, what is checked, what is done again."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import DamagedRunError, InputError, StorageError
from corpusmill.mix.exports import nanotron, tokenised
from corpusmill.mix.exports.contract import Documents, Export, TokenFacts
from corpusmill.mix.exports.dataset import ExportedDataset
from corpusmill.mix.exports.tokenised import Receipt, ShardExport, folder_name, parted
from corpusmill.mix.tokens import load_tokens
from tests.mix.exports.small_dataset import EOS, write_dataset

MARK = "a mark"


def shard_export(dataset: Path, tokenizer: Path, out: Path, *, number: int = 0, by: str | None = None) -> ShardExport:
    opened = ExportedDataset.open(dataset, ["train"])
    tokens = load_tokens(str(tokenizer))
    facts = TokenFacts(
        name="small", fingerprint=tokens.fingerprint, vocab_size=tokens.vocab_size, eos=EOS, eos_id=tokens.token_id(EOS)
    )
    export = Export(folder=out / "nanotron", dataset="small", by=by, columns=opened.columns, tokens=facts)
    return ShardExport(
        shard=opened.shards[number],
        exports={"nanotron": export},
        marks={"nanotron": MARK},
        tokenizer=str(tokenizer),
        check_counts=True,
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(["web", "code", "math"]), st.sampled_from([None, "web/de", "x"]), st.integers(0, 4))
    )
)
def test_every_document_is_in_the_group_of_its_component_or_else_of_its_source(
    rows: list[tuple[str, str | None, int]],
) -> None:
    numbers = np.arange(len(rows)) + 10
    tokens = [[100 * row + place for place in range(length)] + [7] for row, (_, _, length) in enumerate(rows)]
    batch = pa.RecordBatch.from_pydict(
        {
            "source": pa.array([row[0] for row in rows], pa.string()),
            "component": pa.array([row[1] for row in rows], pa.string()),
        }
    )
    documents = Documents(
        rows=batch,
        numbers=numbers,
        tokens=np.array([one for own in tokens for one in own], np.uint16),
        ends=np.cumsum([len(own) for own in tokens], dtype=np.int64),
    )
    for by, column in (("component", [row[1] or row[0] for row in rows]), ("source", [row[0] for row in rows])):
        found = dict(parted(documents, by)) if rows else {}
        assert set(found) == set(column)
        for group, some in found.items():
            places = [place for place, name in enumerate(column) if name == group]
            assert some.numbers.tolist() == [place + 10 for place in places]
            assert some.rows.to_pylist() == [batch.to_pylist()[place] for place in places]
            flat, ends = some.tokenised()
            assert [own.tolist() for own in np.split(flat, ends[:-1])] == [tokens[place] for place in places]


def test_without_by_documents_stay_together() -> None:
    documents = Documents(rows=pa.RecordBatch.from_pydict({"source": ["a", "b"]}), numbers=np.arange(2))
    assert list(parted(documents, None)) == [(None, documents)]


NAMES = ["web", "web/de", "web-de", "../up", "..", ".", "", "a/../../b", "\0", "WEB", "ü", "x" * 500, "web/de ", "-rf"]


def test_names_of_groups_give_folders_of_their_own_that_stay_inside() -> None:
    folders = [folder_name(name) for name in NAMES]
    assert len(set(folders)) == len(NAMES)
    assert folder_name("web") == "web"
    for folder in folders:
        assert folder == Path(folder).name
        assert folder not in (".", "..")
        assert len(folder) < 100
        assert not folder.startswith((".", "-"))


def test_a_shard_is_written_once_and_its_receipt_says_so(dataset: Path, tokenizer: Path, tmp_path: Path) -> None:
    task = shard_export(dataset, tokenizer, tmp_path, by="component")
    task.run()
    folder, stem = tmp_path / "nanotron", task.shard.stem
    found = Receipt.read(folder, stem, MARK)
    assert found is not None
    assert sum(written.documents for written in found.groups.values()) == task.shard.rows
    assert sum(written.tokens for written in found.groups.values()) == task.shard.units + task.shard.rows
    assert sum(written.text_bytes for written in found.groups.values()) == task.shard.text_bytes
    assert set(found.groups) == {"web/de", "web/en", "code", "math"}
    assert Receipt.read(folder, stem, "another mark") is None
    (folder / "train" / "code" / f"{stem}.ds").write_bytes(b"")
    assert Receipt.read(folder, stem, MARK) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fingerprint": "a mark", "groups": 3}', "\0"])
def test_a_receipt_that_is_none_counts_as_absent(tmp_path: Path, content: str) -> None:
    place = tmp_path / ".shards" / "train-00000-of-00001.json"
    place.parent.mkdir()
    place.write_text(content)
    assert Receipt.read(tmp_path, "train-00000-of-00001", MARK) is None


def test_the_pieces_that_are_tokenised_at_a_time_do_not_show(
    dataset: Path, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard_export(dataset, tokenizer, tmp_path / "whole").run()
    monkeypatch.setattr(tokenised, "PIECE_BYTES", 500)  # many texts alone are longer
    shard_export(dataset, tokenizer, tmp_path / "pieces").run()
    whole, pieces = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "nanotron" / "train").iterdir()}
        for name in ("whole", "pieces")
    )
    assert whole == pieces


def test_text_that_spells_the_end_of_text_does_not_end_a_document(tokenizer: Path, tmp_path: Path) -> None:
    stem = "train-00000-of-00001"
    texts = [EOS, f"before {EOS} after", f"{EOS}{EOS}"]
    dataset = write_dataset(tmp_path / "dataset", tokenizer, {"train": (3,)}, edit={stem: texts})
    counts = shard_export(dataset, tokenizer, tmp_path).run()
    ids = np.fromfile(tmp_path / "nanotron" / "train" / f"{stem}.ds", "<u2")
    eos_id = load_tokens(str(tokenizer)).token_id(EOS)
    ends = np.fromfile(tmp_path / "nanotron" / "train" / f"{stem}.ds.index", "<u8")
    assert (np.flatnonzero(ids == eos_id) + 1).tolist() == ends.tolist()
    assert counts == {"documents": 3, "inner_eos": 0}


def test_an_end_of_text_that_texts_have_is_counted(tokenizer: Path, tmp_path: Path) -> None:
    stem = "train-00000-of-00001"
    dataset = write_dataset(tmp_path / "dataset", tokenizer, {"train": (2,)}, edit={stem: ["a.b.c", "d"]})
    task = shard_export(dataset, tokenizer, tmp_path)
    export = task.exports["nanotron"]
    facts = replace(export.tokens, eos=".", eos_id=load_tokens(str(tokenizer)).token_id("."))
    counts = replace(task, exports={"nanotron": replace(export, tokens=facts)}).run()
    assert counts["inner_eos"] == 2


def test_a_dataset_that_counts_other_tokens_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", tokenizer, {"train": (5,)})
    task = shard_export(dataset, tokenizer, tmp_path)
    table = pq.read_table(task.shard.path)
    counts = np.array(table.column("n_tokens").to_pylist(), np.int32)
    counts[3] += 1
    place = table.schema.get_field_index("n_tokens")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(counts)), task.shard.path)
    with pytest.raises(DamagedRunError, match=r"document train-00000-of-00001/3 is counted as .* mix the dataset"):
        task.run()
    replace(task, check_counts=False).run()


def test_a_shard_with_other_rows_than_the_manifest_says_is_refused(
    dataset: Path, tokenizer: Path, tmp_path: Path
) -> None:
    task = shard_export(dataset, tokenizer, tmp_path)
    with pytest.raises(DamagedRunError, match="has 300 rows, and the manifest says 299"):
        replace(task, shard=replace(task.shard, rows=299)).run()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_shard_with_other_columns_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", tokenizer, {"train": (5, 5)})
    task = shard_export(dataset, tokenizer, tmp_path, number=1)
    table = pq.read_table(task.shard.path)
    pq.write_table(table.drop_columns(["license"]), task.shard.path)
    with pytest.raises(DamagedRunError, match=r"has the columns text, id, .* and the dataset's first shard"):
        task.run()


def test_an_id_beyond_the_vocabulary_is_refused(dataset: Path, tokenizer: Path, tmp_path: Path) -> None:
    task = shard_export(dataset, tokenizer, tmp_path)
    export = task.exports["nanotron"]
    small = replace(export, tokens=replace(export.tokens, vocab_size=50))
    with pytest.raises(InputError, match=r"gives the id .* and its vocabulary has 50"):
        replace(task, exports={"nanotron": small}).run()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    dataset: Path, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    task = shard_export(dataset, tokenizer, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(nanotron._Writer, "write", full)
        with pytest.raises(StorageError, match="no space left on its disk"):
            task.run()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    task.run()
    receipt = json.loads(tokenised.receipt(tmp_path / "nanotron", task.shard.stem).read_text())
    assert receipt["groups"][0]["documents"] == 300
