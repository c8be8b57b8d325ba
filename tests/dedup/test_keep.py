"""Which document stays, by every policy, in both forms of the order, and in the barriers that use it."""

import random

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from corpusmill.dedup.exact import ExactDedup
from corpusmill.dedup.keep import (
    Keep,
    KeepMeasure,
    accept_keep,
    keep_columns,
    keep_fields,
    keep_needs,
    keep_order,
    keep_sql,
)
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.recipe import build

POLICIES: list[Keep] = [
    "best_quality",
    "longest",
    "earliest",
    "first_id",
    KeepMeasure(measure="perplexity.perplexity", order="ascending"),
    KeepMeasure(measure="perplexity.perplexity", order="descending"),
]


def documents(seed: int) -> TextBatch:
    """Documents of few different values, so that there are ties, some of them missing or no numbers."""
    chance = random.Random(seed)
    batch = TextBatch.of_texts([chance.choice(["a", "bb", "ccc"]) for _ in range(40)])
    columns = {
        "quality": pa.array([chance.choice([None, 0.25, 0.75, float("nan")]) for _ in range(40)], pa.float32()),
        "date": pa.array([chance.choice([None, "2021", "2020-12-31T23:59:59Z", "sometime"]) for _ in range(40)]),
    }
    for name, values in columns.items():
        batch = batch.with_column(name, values)
    measure = [chance.choice([None, 1.0, 2.0, float("nan")]) for _ in range(40)]
    batch.measured = {"perplexity.perplexity": pa.array(measure, pa.float64())}
    return batch


def plain_order(batch: TextBatch, keep: Keep) -> list[str]:
    """Ids in keep order: sorted by tuples, what is missing last."""

    def key(row: int) -> tuple[object, ...]:
        identity, size = batch.documents["id"][row].as_py(), -len(batch.texts[row].as_py().encode())
        if keep == "first_id":
            return (identity,)
        if keep == "longest":
            return size, identity
        if keep == "best_quality":
            quality = batch.documents["quality"][row].as_py()
            first = -quality if quality in (0.25, 0.75) else 9
        elif keep == "earliest":
            first = {"2020-12-31T23:59:59Z": 0, "2021": 1}.get(batch.documents["date"][row].as_py(), 2)
        else:
            value = batch.measured["perplexity.perplexity"][row].as_py()
            first = 9 if value not in (1.0, 2.0) else value if keep.order == "ascending" else -value
        return first, size, identity

    return [batch.documents["id"][row].as_py() for row in sorted(range(len(batch)), key=key)]


@pytest.mark.parametrize("keep", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_arrow_and_sql_put_documents_in_the_order_of_plain_python(keep, seed):
    batch = documents(seed)
    table = pa.table(
        [batch.documents["id"], *keep_columns(batch, keep)], schema=pa.schema([("id", pa.string()), *keep_fields(keep)])
    )
    sorted_ids = table["id"].take(pc.sort_indices(table, sort_keys=list(keep_order(keep)))).to_pylist()
    assert sorted_ids == plain_order(batch, keep)
    with duckdb.connect() as connection:
        connection.register("documents", table)
        found = connection.execute(f"SELECT id FROM documents ORDER BY {keep_sql(keep)}").fetchall()
    assert [identity for (identity,) in found] == sorted_ids


@pytest.mark.parametrize("stage", [ExactDedup, MinHashDedup])
@pytest.mark.parametrize("keep", POLICIES)
def test_a_stage_writes_what_the_policy_looks_at_and_no_more(stage, keep):
    built = stage(keep=keep)
    batch = documents(0)
    observed = built.observe(batch)
    assert observed.schema == built.sidecar
    assert observed.schema.names[-len(keep_fields(keep)) :] == [field.name for field in keep_fields(keep)]
    assert list(built.needs()) == list(keep_needs(keep))


def test_a_measure_must_be_a_number():
    keep = KeepMeasure(measure="language.language", order="ascending")
    with pytest.raises(RecipeError, match=r"keep\.measure: language\.language is string and no number; name a measure"):
        accept_keep(keep, {"language.language": pa.string()})
    for kind in (pa.int32(), pa.float64(), pa.bool_()):
        accept_keep(keep, {"language.language": kind})
    accept_keep("longest", {})


def test_a_large_whole_number_is_put_in_order_like_others():
    batch = TextBatch.of_texts(["a", "b"])
    batch.measured = {"x.hash": pa.array([2**60 + 1, 3])}
    columns = keep_columns(batch, KeepMeasure(measure="x.hash", order="descending"))
    assert columns[-1].to_pylist() == [2.0**60, 3.0]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("longst", r"here\.keep: Input should be 'best_quality', 'longest', 'earliest' or 'first_id', not 'longst'"),
        ({"measure": "a.b"}, r"here\.keep\.order: Field required"),
        (
            {"measure": "a.b", "order": "up"},
            r"here\.keep\.order: Input should be 'ascending' or 'descending', not",
        ),
        ({"measure": "a.b", "order": "ascending", "by": 1}, r"here\.keep\.by: Unexpected"),
        ({"measure": "quality", "order": "ascending"}, r'"quality" names no measure; .* `keep: best_quality`'),
    ],
)
def test_a_policy_that_cannot_be_is_refused_in_the_recipe_s_words(keep, message):
    with pytest.raises(RecipeError, match=message):
        build(ExactDedup, {"keep": keep}, "here")


def test_a_recipe_s_policy_becomes_the_dataclass():
    keep = {"measure": "perplexity.perplexity", "order": "ascending"}
    assert build(MinHashDedup, {"keep": keep}, "here").keep == POLICIES[4]
