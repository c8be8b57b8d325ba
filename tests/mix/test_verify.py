"""Each test spoils one thing of a dataset that is fine, and wants just that to be told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.shards import ContentHash, sha256_of, write_table
from corpusmill.mix.card import dataset_card
from corpusmill.mix.croissant import croissant
from corpusmill.mix.manifest import finish
from corpusmill.mix.options import MixOptions, Slice
from corpusmill.mix.tokens import load_tokens
from corpusmill.mix.verify import Verification, verify
from corpusmill.mix.verify_near import divided_groups
from corpusmill.mix.verify_rows import HeldOut
from tests.mix.conftest import Built, build, make_documents, write_part


@pytest.fixture
def dataset(described: Built, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(described.folder, tmp_path / "dataset"))


def only(folder: Path, **options: Any) -> Verification:
    [told] = verify(folder, **options)
    return told


def found(told: Verification) -> set[tuple[str, str]]:
    return {(problem.check, problem.place) for problem in told.problems}


def shard(folder: Path, split: str = "train") -> str:
    return min(str(path.relative_to(folder)) for path in folder.glob(f"*/{split}-*.parquet"))


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def sum_again(folder: Path) -> None:
    """SHA256SUMS anew, as one who hides a change would write it."""
    names = [line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    (folder / "SHA256SUMS").write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in names))


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = manifest_of(folder)
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    sum_again(folder)


def rewrite(folder: Path, name: str, change: Callable[[pa.Table], pa.Table], row_group_rows: int = 1024) -> None:
    """Writes a shard anew with other rows; file size, sums and hashes are brought in line, counts are not."""
    table = pq.read_table(folder / name)
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    changed = change(table).replace_schema_metadata(None)
    written = write_table(
        folder / name, changed.to_batches(), changed.schema, metadata=metadata, row_group_rows=row_group_rows
    )

    def in_line(manifest: dict[str, Any]) -> None:
        content: dict[str, ContentHash] = {"": ContentHash()}
        for entry in manifest["shards"]:
            if entry["name"] == name:
                entry |= {"file_bytes": written.file_bytes, "sha256": written.sha256}
                entry["content_hash"] = written.content_hash
            for key in ("", entry["split"]):
                content.setdefault(key, ContentHash()).add_hash(entry["content_hash"])
        manifest["content_hash"] = str(content[""])
        for split, sums in manifest["splits"].items():
            own = [entry for entry in manifest["shards"] if entry["split"] == split]
            sums |= {"file_bytes": sum(entry["file_bytes"] for entry in own), "content_hash": str(content[split])}
        (folder / "README.md").write_text(dataset_card(manifest))
        (folder / "croissant.json").write_text(json.dumps(croissant(manifest)))

    change_manifest(folder, in_line)


def test_a_dataset_as_it_was_written_has_no_problem(described: Built) -> None:
    told = only(described.folder)
    assert told.problems == []
    assert told.ok
    assert told.rows == {name: split["rows"] for name, split in manifest_of(described.folder)["splits"].items()}
    assert set(told.rows) == {"train", "validation", "heldout_code", "heldout_web"}
    assert sum(told.shares.values()) == pytest.approx(1)
    assert told.text_bytes == sum(entry["text_bytes"] for entry in manifest_of(described.folder)["shards"])


@pytest.mark.parametrize("unit", ["estimated_tokens", "bytes", "characters", "documents"])
def test_datasets_of_every_unit_have_no_problem(unit: Any, builder: Callable[..., Built]) -> None:
    options = MixOptions(ratios={"web": 0.7, "code": 0.3}, unit=unit, validation=0.1, shard_bytes=30_000)
    built = builder({"web": make_documents("web", 150), "code": make_documents("code", 100)}, options)
    finish(built.folder, options, built.selection, built.shards)
    assert only(built.folder).problems == []


def test_the_quick_look_finds_no_problem_either_and_reads_no_text(described: Built) -> None:
    told = only(described.folder, quick=True)
    assert told.problems == []
    assert told.text_bytes == 0
    assert sum(told.shares.values()) == pytest.approx(1)


def test_a_flipped_byte_is_found_by_its_sum(dataset: Path) -> None:
    name = shard(dataset)
    content = bytearray((dataset / name).read_bytes())
    content[-30] ^= 1  # in the footer: the file cannot be read any more
    (dataset / name).write_bytes(content)
    told = only(dataset)
    assert {("files", name), ("rows", name)} <= found(told)
    assert "take this file again" in told.problems[0].mend


def test_files_that_are_missing_and_files_that_are_too_many_are_named(dataset: Path) -> None:
    name = shard(dataset)
    (dataset / name).unlink()
    (dataset / "data" / "train-extra.parquet").write_text("x")
    (dataset / ".gitattributes").write_text("x")
    assert {("files", name), ("files", "data/train-extra.parquet")} <= found(only(dataset, quick=True))
    assert not any(".gitattributes" in place for _, place in found(only(dataset, quick=True)))


def test_a_shard_of_another_size_is_found_by_the_quick_look(dataset: Path) -> None:
    name = shard(dataset)
    with open(dataset / name, "ab") as stream:
        stream.write(b"x")
    assert ("files", name) in found(only(dataset, quick=True))


def test_a_changed_text_is_found_by_the_content_hash(dataset: Path) -> None:
    name = shard(dataset)
    before = manifest_of(dataset)["shards"][0]["content_hash"]

    def shouted(table: pa.Table) -> pa.Table:
        return table.set_column(0, table.schema.field("text"), pc.utf8_upper(table.column("text")))

    rewrite(dataset, name, shouted)
    change_manifest(dataset, lambda manifest: manifest["shards"][0].update(content_hash=before))
    assert ("content", name) in found(only(dataset))
    assert "content" not in {check for check, _ in found(only(dataset, quick=True))}


def test_a_wrong_count_is_found_in_its_row(dataset: Path) -> None:
    name = shard(dataset)

    def one_more(table: pa.Table) -> pa.Table:
        counts = table.column("n_words").to_numpy().copy()
        counts[3] += 1
        counts[4] -= 1
        place = table.schema.get_field_index("n_words")
        return table.set_column(place, table.schema.field("n_words"), pa.array(counts, pa.int32()))

    rewrite(dataset, name, one_more)
    told = only(dataset)
    assert found(told) <= {("units", name), ("mix", "web"), ("mix", "web_best"), ("mix", "code")}
    [problem] = [problem for problem in told.problems if problem.check == "units"]
    row = pq.read_table(dataset / name).slice(3, 1).to_pylist()[0]
    assert f"2 rows have another n_words than their text; the first is {row['id']}" in problem.told
    assert f"with {row['n_words']:,}, and its text has {row['n_words'] - 1:,}" in problem.told


def test_rows_that_are_missing_are_found_in_every_sum(dataset: Path) -> None:
    name = shard(dataset)
    rewrite(dataset, name, lambda table: table.slice(2))
    told = only(dataset)
    assert {"rows", "mix"} <= {check for check, _ in found(told)}
    whole = next(entry for entry in manifest_of(dataset)["shards"] if entry["name"] == name)["rows"]
    assert f"its rows are {whole - 2:,}, and the manifest says {whole:,}" in [problem.told for problem in told.problems]


def test_a_document_in_two_splits_is_found_by_its_id_or_its_text(dataset: Path) -> None:
    train, held = shard(dataset), shard(dataset, "validation")
    rows = pq.read_table(dataset / held).slice(0, 2).to_pylist()

    def with_two(table: pa.Table) -> pa.Table:
        listed = table.to_pylist()
        listed[0] |= {"id": rows[0]["id"]}
        listed[1] |= {"text": rows[1]["text"], "n_words": rows[1]["n_words"]}
        return pa.Table.from_pylist(listed, schema=table.schema)

    rewrite(dataset, train, with_two)
    [problem] = [problem for problem in only(dataset).problems if problem.check == "splits"]
    assert problem.place == train
    assert problem.told == (
        "2 rows have a document or text that stands in validation, too; the first is the document of " + rows[0]["id"]
    )
    assert "splits" not in {check for check, _ in found(only(dataset, quick=True))}


def test_a_text_that_two_sources_hold_out_is_in_no_other_split_and_no_problem(dataset: Path) -> None:
    row = pq.read_table(dataset / shard(dataset, "heldout_web")).slice(0, 1).to_pylist()[0]

    def with_the_text(table: pa.Table) -> pa.Table:
        listed = table.to_pylist()
        listed[0] |= {"text": row["text"], "n_words": row["n_words"]}
        return pa.Table.from_pylist(listed, schema=table.schema)

    rewrite(dataset, shard(dataset, "heldout_code"), with_the_text)
    assert "splits" not in {check for check, _ in found(only(dataset))}
    rewrite(dataset, shard(dataset, "validation"), with_the_text)
    assert "splits" in {check for check, _ in found(only(dataset))}


def test_a_group_that_two_sources_hold_out_is_not_divided(tmp_path: Path) -> None:
    chance = Random(5)
    texts = [" ".join(f"w{chance.randrange(10**6)}" for _ in range(60)) for _ in range(3)]

    def written(name: str, *texts: str) -> list[Path]:
        documents = [{"id": f"{name}{row}", "text": text, "source": name} for row, text in enumerate(texts)]
        return [write_part(tmp_path / f"{name}.parquet", documents)]

    splits = {"heldout_a": written("a", texts[0]), "heldout_b": written("b", f"{texts[0]} more"), "validation": []}
    assert divided_groups(splits | {"train": written("c", *texts[1:])}).groups == 0
    divided = divided_groups(splits | {"train": written("d", texts[1], f"{texts[0]} again")})
    assert (divided.groups, divided.documents, divided.first) == (1, 2, ("a0", "heldout_a"))


def test_a_document_twice_in_validation_is_found(dataset: Path) -> None:
    held = shard(dataset, "validation")
    rewrite(dataset, held, lambda table: pa.concat_tables([table.slice(1), table.slice(1, 1)]))
    assert "1 of its documents stand in validation twice" in [problem.told for problem in only(dataset).problems]


def test_other_columns_are_told_beside_those_that_should_be_there(dataset: Path) -> None:
    name = shard(dataset)
    rewrite(dataset, name, lambda table: table.drop_columns(["url"]))
    [problem] = [problem for problem in only(dataset).problems if problem.check == "schema"]
    assert "url string" in problem.told.split("should be")[1]
    assert "url string" not in problem.told.split("should be")[0]


def test_row_groups_that_are_too_long_are_told(dataset: Path) -> None:
    name = shard(dataset)
    table = pq.read_table(dataset / name)
    rows = [row | {"id": f"{number}/{row['id']}"} for number in range(60) for row in table.to_pylist()][:2000]
    long = pa.Table.from_pylist(rows, schema=table.schema)
    rewrite(dataset, name, lambda _: long, row_group_rows=4000)
    assert "row group 0 has 2,000 rows, more than 1,024" in [problem.told for problem in only(dataset).problems]


def test_shares_that_are_not_those_that_were_asked_are_told(dataset: Path) -> None:
    def other(manifest: dict[str, Any]) -> None:
        for entry in manifest["components"]:
            entry["asked"] = manifest["splits"]["train"]["units"] // 3

    change_manifest(dataset, other)
    told = only(dataset)
    assert found(told) == {("mix", "web"), ("mix", "web_best"), ("mix", "code")}
    assert all("`when_short: error` lets none be short" in problem.told for problem in told.problems)
    change_manifest(dataset, lambda manifest: manifest["options"].update(when_short="repeat"))
    assert only(dataset).problems == []


def test_a_component_may_be_half_of_a_long_document_below_its_share(builder: Callable[..., Built]) -> None:
    documents = [{"id": f"long{number}", "text": "word " * 5000, "source": "code"} for number in range(9)]
    options = MixOptions(ratios={"web": 0.9, "code": 0.1}, unit="words", validation=0, budget=20_000)
    built = builder({"web": make_documents("web", 900), "code": documents}, options)
    finish(built.folder, options, built.selection, built.shards)
    assert built.selection.of("code").units == 0  # 2,000 are asked, and the next document has 5,000
    assert only(built.folder).problems == []


def long_ones(count: int, **columns: Any) -> list[dict[str, Any]]:
    """Documents of a thousand words."""
    return [
        {"id": f"long{number}", "text": f"{number} " + "word " * 999, "source": "code", **columns}
        for number in range(count)
    ]


def ask(folder: Path, component: str, units: int) -> None:
    """Has the manifest say that so much was asked."""

    def other(manifest: dict[str, Any]) -> None:
        [entry] = [entry for entry in manifest["components"] if entry["component"] == component]
        entry["asked"] = units

    change_manifest(folder, other)


@pytest.mark.parametrize(("passes", "asked", "units"), [(1, 3400, 3000), (2, 6400, 6000), (1, 2600, 3000)])
def test_after_whole_passes_a_component_may_be_half_of_a_document_of_the_next_pass_away(
    passes: int, asked: int, units: int, builder: Callable[..., Built]
) -> None:
    ratio = asked / 20_000
    options = MixOptions(
        ratios={"web": 1 - ratio, "code": ratio}, unit="words", validation=0, budget=20_000, max_epochs=3
    )
    built = builder({"web": make_documents("web", 900), "code": long_ones(3)}, options)
    finish(built.folder, options, built.selection, built.shards)
    code = built.selection.of("code")
    assert (code.passes, code.available_units, code.asked, code.units) == (passes, 3000, asked, units)
    assert only(built.folder).problems == []
    for away, places in ((500, set()), (501, {("mix", "code")})):
        for direction in (1, -1):
            ask(built.folder, "code", units + direction * away)
            assert found(only(built.folder, quick=True)) == places


@pytest.mark.parametrize(("asked", "units"), [(7400, 6000), (10_400, 9000), (10_600, 12_000)])
def test_a_component_may_be_half_of_a_document_and_its_copies_away(
    asked: int, units: int, builder: Callable[..., Built]
) -> None:
    ratio = asked / 26_000
    options = MixOptions(
        ratios={"web": 1 - ratio, "code": ratio},
        unit="words",
        validation=0,
        budget=26_000,
        max_epochs=3,
        rehydrate={1: 1, 2: 3},
    )
    built = builder({"web": make_documents("web", 900), "code": long_ones(3, cluster_size=2)}, options)
    finish(built.folder, options, built.selection, built.shards)
    code = built.selection.of("code")
    assert (code.asked, code.units, code.available_units) == (asked, units, 9000)  # three of a document together
    assert only(built.folder).problems == []
    for away, places in ((1500, set()), (1501, {("mix", "code")})):
        for direction in (1, -1):
            ask(built.folder, "code", units + direction * away)
            assert found(only(built.folder, quick=True)) == places


def test_hamiltons_rounding_is_no_problem_in_a_small_dataset(builder: Callable[..., Built]) -> None:
    shares = {"web": 0.36, "code": 0.36, "math": 0.28}
    options = MixOptions(ratios=shares, unit="documents", validation=0, budget=10)
    built = builder({name: make_documents(name, 20) for name in shares}, options)
    finish(built.folder, options, built.selection, built.shards)
    of = built.selection.of
    assert [(of(name).asked, of(name).units) for name in shares] == [(3, 4), (4, 4), (3, 3)]  # 3.6, 3.6 and 2.8
    assert only(built.folder).problems == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda manifest: manifest["components"][0].update(units=1), "mix"),
        (lambda manifest: manifest["components"][0].update(validation_documents=1), "mix"),
        (lambda manifest: manifest["components"][0].update(heldout_units=1), "mix"),
        (lambda manifest: manifest["components"][0].update(achieved_ratio=0.5), "mix"),
        (lambda manifest: manifest["splits"]["validation"].update(characters=1), "manifest"),
        (lambda manifest: manifest["shards"][0].update(rows=1), "rows"),
        (lambda manifest: manifest["shards"][0]["documents"]["language"].update(de=1), "rows"),
        (lambda manifest: manifest["licenses"]["web"].update(MIT=1), "rows"),
        (lambda manifest: manifest.update(seed=99), "schema"),
        (lambda manifest: manifest.update(content_hash="0" * 32), "manifest"),
    ],
)
def test_every_number_of_the_manifest_is_counted_again(
    dataset: Path, change: Callable[[dict[str, Any]], object], check: str
) -> None:
    change_manifest(dataset, change)
    assert check in {check for check, _ in found(only(dataset, quick=True))}


def test_a_card_that_says_other_numbers_is_told(dataset: Path) -> None:
    card = dataset / "README.md"
    rows = manifest_of(dataset)["splits"]["validation"]["rows"]
    card.write_text(card.read_text().replace(f"num_examples: {rows}\n", "num_examples: 7\n"))
    sum_again(dataset)
    assert found(only(dataset)) == {("card", "README.md")}


def test_a_croissant_that_names_another_sum_is_told(dataset: Path) -> None:
    path = dataset / "croissant.json"
    path.write_text(path.read_text().replace(manifest_of(dataset)["shards"][0]["sha256"], "0" * 64))
    sum_again(dataset)
    assert found(only(dataset)) == {("card", "croissant.json")}


@pytest.mark.parametrize("text", ["", "---\n", "---\na: [\n---\n", "---\n- 1\n---\n", "---\ndataset_info: 3\n---\n"])
def test_a_card_that_is_none_is_told(dataset: Path, text: str) -> None:
    (dataset / "README.md").write_text(text)
    (dataset / "croissant.json").write_text('{"distribution": [[]]}')
    sum_again(dataset)
    assert found(only(dataset, quick=True)) == {("card", "README.md"), ("card", "croissant.json")}


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(schema_version=1),
        lambda manifest: manifest.update(shards=3),
        lambda manifest: manifest.pop("components"),
        lambda manifest: manifest.update(unit="stones"),
        lambda manifest: manifest["shards"][0].update(name="../../etc/passwd"),
        lambda manifest: manifest["shards"][0].update(rows=-1),
        lambda manifest: manifest["shards"][0].update(content_hash="zz"),
        lambda manifest: manifest["shards"].append(manifest["shards"][0]),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_told_with_the_place(
    dataset: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    change_manifest(dataset, change)
    told = only(dataset)
    assert found(told) == {("manifest", "manifest.json")}
    assert "cannot be read as a manifest of version 2: " in told.problems[0].told


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null"])
def test_a_manifest_of_rubbish_is_told(dataset: Path, content: bytes) -> None:
    (dataset / "manifest.json").write_bytes(content)
    assert found(only(dataset)) == {("manifest", "manifest.json")}


def test_checksums_that_lead_out_of_the_folder_are_not_followed(dataset: Path) -> None:
    with open(dataset / "SHA256SUMS", "a") as stream:
        stream.write(f"{'0' * 64}  ../../secret\n{'0' * 64}  /etc/passwd\n")
    told = only(dataset, quick=True)
    assert found(told) == {("files", "../../secret"), ("files", "/etc/passwd")}
    assert all("not in the folder" in problem.told for problem in told.problems)


@pytest.mark.parametrize(
    "options", [{"overlap": 3}, {"overlap": {"web": 1}}, {"rehydrate": {"1": "x"}}, {"when_short": 7}]
)
def test_options_of_rubbish_are_no_traceback(dataset: Path, options: dict[str, Any]) -> None:
    change_manifest(dataset, lambda manifest: manifest["options"].update(options))
    shutil.copytree(dataset, dataset.parent / "stages" / "one")
    shutil.copytree(dataset, dataset.parent / "stages" / "two")
    assert len(verify(dataset.parent / "stages")) == 2


def test_metadata_that_is_no_text_is_told(dataset: Path) -> None:
    name = shard(dataset)
    table = pq.read_table(dataset / name)
    pq.write_table(
        table.replace_schema_metadata({b"corpusmill.unit": b"\xff", b"corpusmill.seed": b"5"}), dataset / name
    )
    assert ("schema", name) in found(only(dataset))


def test_many_problems_of_one_kind_are_counted(dataset: Path) -> None:
    for number in range(50):
        (dataset / f"extra-{number}").touch()
    told = only(dataset, quick=True)
    assert len(told.problems) == 20
    assert told.left_out == {"files": 30}


def word_tokenizer(folder: Path, words: Mapping[str, int]) -> str:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **words}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / f"words-{len(words)}.json"))
    return str(folder / f"words-{len(words)}.json")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A dataset that counts tokens, and its tokenizer."""
    folder = tmp_path_factory.mktemp("tokens")
    spec = word_tokenizer(folder, {"web": 1, "code": 2})
    options = MixOptions(
        ratios={"web": 0.5, "code": 0.5}, unit="tokens", tokenizer=spec, validation=0.1, shard_bytes=30_000
    )
    built = build(folder, {"web": make_documents("web", 100), "code": make_documents("code", 100)}, options)
    tokens = load_tokens(spec)
    own = {"name": tokens.name, "fingerprint": tokens.fingerprint, "vocab_size": tokens.vocab_size}
    finish(built.folder, options, built.selection, built.shards, tokenizer=own)
    return built.folder, spec


def test_tokens_are_counted_again_on_a_sample(counted: tuple[Path, str]) -> None:
    told = only(counted[0], tokenizer=counted[1])
    assert told.problems == []
    assert told.recounted_rows == sum(told.rows.values())  # of a dataset as small as this, all
    assert only(counted[0]).recounted_rows == 0


def test_a_wrong_token_count_is_found(counted: tuple[Path, str], tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(counted[0], tmp_path / "dataset"))
    name = shard(dataset)

    def one_more(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("n_tokens")
        return table.set_column(place, table.schema.field(place), pc.add(table.column("n_tokens"), 1).cast(pa.int32()))

    rewrite(dataset, name, one_more)
    assert ("units", name) in found(only(dataset, tokenizer=counted[1]))
    assert "units" not in {check for check, _ in found(only(dataset))}


def test_another_tokenizer_is_told_with_both_fingerprints(counted: tuple[Path, str], tmp_path: Path) -> None:
    other = word_tokenizer(tmp_path, {"web": 1, "code": 2, "math": 3})
    told = only(counted[0], tokenizer=other)
    assert found(told) == {("units", "manifest.json")}
    for spec in (counted[1], other):
        assert load_tokens(spec).fingerprint in told.problems[0].told


def test_a_tokenizer_for_a_dataset_that_counts_words_is_refused(described: Built, counted: tuple[Path, str]) -> None:
    with pytest.raises(UsageError, match="counts words and not a tokenizer's tokens"):
        verify(described.folder, tokenizer=counted[1])


def test_each_stage_of_a_dataset_is_verified(described: Built, tmp_path: Path) -> None:
    for stage in ("broad", "fine"):
        shutil.copytree(described.folder, tmp_path / stage)
    (tmp_path / "fine" / "extra").touch()
    told = verify(tmp_path, quick=True)
    assert [(Path(one.dataset).name, one.ok) for one in told] == [("broad", True), ("fine", False)]


def test_near_duplicates_in_two_splits_are_found(builder: Callable[..., Built]) -> None:
    chance = Random(3)
    documents = make_documents("web", 300, longest=0)
    for document in documents:
        document["text"] = " ".join(f"w{chance.randrange(10**6)}" for _ in range(80))
    for number in range(0, 100, 2):  # each has a copy with another last word
        documents[number]["text"] = documents[number + 1]["text"] + " changed"
    options = MixOptions(ratios={"web": 1}, validation=0.2, split_by="document")
    built = builder({"web": documents}, options)
    finish(built.folder, options, built.selection, built.shards)
    assert only(built.folder).problems == []
    train, held = ({row["id"] for row in built.rows(split)} for split in ("train", "validation"))
    copies = [{documents[number]["id"], documents[number + 1]["id"]} for number in range(0, 100, 2)]
    divided = [pair for pair in copies if pair & train and pair & held]
    assert divided
    told = only(built.folder, near=True)
    assert told.near
    [problem] = told.problems
    assert problem.told.startswith(
        f"{len(divided)} groups of near-duplicates stand in two splits, with {len(divided)} "
    )
    assert problem.told.rpartition(" ")[2] in held & set().union(*divided)
    assert problem.mend == "mix with `split_by: cluster`, which keeps such groups together"


def test_a_quick_look_finds_no_near_duplicates(described: Built) -> None:
    with pytest.raises(UsageError, match="--near-duplicates: reads all texts, and --quick none"):
        verify(described.folder, near=True, quick=True)


def test_stages_that_share_documents_are_told_unless_they_may(described: Built, tmp_path: Path) -> None:
    for stage in ("broad", "fine"):
        shutil.copytree(described.folder, tmp_path / stage)
    ids = {row["id"]: row["component"] for row in described.rows()}
    broad, fine = verify(tmp_path)
    assert broad.ok
    assert found(fine) == {("stages", "broad")}
    assert fine.problems[0].told.startswith(f"{len(ids):,} documents of its train split are in that of broad, too")
    change_manifest(tmp_path / "fine", lambda manifest: manifest["options"].update(overlap=["web"]))
    [problem] = verify(tmp_path)[1].problems
    assert problem.told.startswith(f"{sum(component != 'web' for component in ids.values()):,} documents")
    change_manifest(tmp_path / "fine", lambda manifest: manifest["options"].update(overlap=True))
    assert all(one.ok for one in verify(tmp_path))


def test_what_is_no_dataset_is_refused_with_the_place_of_one(described: Built, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no dataset; a mix writes one to runs/NAME/dataset"):
        verify(tmp_path)
    shutil.copytree(described.folder, tmp_path / "dataset")
    with pytest.raises(InputError, match=r"did you mean .*/dataset\?"):
        verify(tmp_path)


@given(st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=4), st.lists(st.integers(0, 6), max_size=8))
def test_what_is_held_out_is_found_again(shards: list[list[int]], sought: list[int]) -> None:
    held, splits = HeldOut(), {}
    for number, numbers in enumerate(shards):
        held.extend(hashes(numbers), hashes(numbers) + np.uint64(1), f"split{number}")
        for value in numbers:
            splits.setdefault(value, f"split{number}")
    # Two hashes that agree in their first half alone are two documents.
    second = hashes(sought) + np.array([1 + (place % 2) for place in range(len(sought))], np.uint64)
    wanted = {place: splits[value] for place, value in enumerate(sought) if value in splits and place % 2 == 0}
    assert dict(held.find(hashes(sought), second)) == wanted


def hashes(numbers: list[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array(numbers, np.uint64) << np.uint64(60)


def test_texts_that_are_no_utf8_are_told_and_no_kernel_reads_them(dataset: Path) -> None:
    name = shard(dataset)
    table = pq.read_table(dataset / name)
    raw = [text.encode() for text in table.column("text").to_pylist()]
    raw[5] = b"\xff\xfe" * 1000 + b"\xf0"
    texts = pa.array(raw, pa.binary()).view(pa.string())
    pq.write_table(table.set_column(0, table.schema.field("text"), texts), dataset / name)
    told = [problem for problem in only(dataset).problems if problem.check == "rows" and problem.place == name]
    assert "cannot be read: " in told[0].told
    assert "UTF8" in told[0].told
    assert only(dataset, near=True).near is False  # nor does any other kernel


def test_yaml_that_grows_in_memory_is_neither_written_out_nor_believed(dataset: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
    )
    card = (dataset / "README.md").read_text()
    size = manifest_of(dataset)["splits"]["train"]["text_bytes"]
    changed = card.replace("---\n", f"---\n{bomb}", 1).replace(f"num_bytes: {size}\n", "num_bytes: *i\n")
    (dataset / "README.md").write_text(changed.replace("download_size: ", "download_size: *i\n  was: "))
    sum_again(dataset)
    told = only(dataset, quick=True)
    assert found(told) == {("card", "README.md")}
    assert len(told.problems) == 2
    assert max(len(problem.told) for problem in told.problems) < 1000


@pytest.mark.realdata
def test_a_dataset_of_real_texts_has_no_problem(english_texts: list[str], builder: Callable[..., Built]) -> None:
    documents = [
        {"id": f"text{number}", "text": text, "source": "web", "quality": len(text) / 15_000}
        for number, text in enumerate(dict.fromkeys(english_texts))
    ]
    options = MixOptions(
        ratios={"web": 0.5, "long": 0.5},
        slices={"long": Slice(source="web", where="quality > .9")},
        unit="words",
        validation=0.05,
        heldout=0.05,
        shard_bytes=1_000_000,
    )
    built = builder({"web": documents}, options)
    finish(built.folder, options, built.selection, built.shards)
    told = only(built.folder)
    assert told.problems == []
    assert told.shares == pytest.approx({"web": 0.5, "long": 0.5}, abs=0.02)
