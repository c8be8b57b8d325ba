"""The stage as a whole: titled cases, order, parameters, and real paraphrases."""

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from corpusmill.dedup.embeddings import load_encoder
from corpusmill.dedup.semantic import SemanticDedup, SemanticReason
from corpusmill.documents import ids
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError, InputError, RecipeError, UsageError

CASES = Path(__file__).parent.parent / "cases" / "semantic_dedup.jsonl"
# Word -> its direction: the same for words of one meaning, 30 degrees apart in the row from cat to dog.
ANGLES = {"cat": 0, "feline": 0.05, "kitten": 0.5, "pup": 1.0, "dog": 1.5}
PLANES = {"big": 2, "large": 2, "huge": 2, "sat": 4, "road": 6, "down": 8}
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]  # alike to nothing


def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CASES.read_text().splitlines()]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A static model of a few words."""
    folder = tmp_path_factory.mktemp("words")
    words = ["[UNK]", *ANGLES, *PLANES, *NUMBERS]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = np.zeros((len(words), 20), np.float32)
    for number, word in enumerate(words):
        if word in ANGLES:
            vectors[number, :2] = np.cos(ANGLES[word]), np.sin(ANGLES[word])
        elif word in PLANES:
            vectors[number, PLANES[word]] = 0.2 if word == "down" else 1
        elif word in NUMBERS:
            vectors[number, 10 + NUMBERS.index(word)] = 1
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    return str(folder)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in cases()])
def test_a_case_is_decided_as_its_title_says(decided, model, case):
    barrier = SemanticDedup(model=model, clusters=1, **case["options"])
    barrier.prepare()
    outcome = decided(barrier, case["texts"], qualities=case.get("qualities"))
    assert outcome.gone == {int(gone): kept for gone, kept in case["gone"].items()}
    assert outcome.cluster_sizes == {kept: 1 + n for kept, n in Counter(outcome.gone.values()).items()}


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in cases() if case["gone"]} == set(SemanticReason)


def test_a_verdict_states_the_cosine_and_the_ledger_gets_cluster_and_centroid(decided, model):
    outcome = decided(SemanticDedup(model=model, clusters=2, min_similarity=0.8, min_length_ratio=0, keep="first_id"),
                      ["cat", "kitten", "road", "zzz", "road down"])  # fmt: skip
    assert outcome.gone == {1: 0, 4: 2}
    assert outcome.similarities[1] == pytest.approx(np.cos(0.5), abs=1e-3)
    assert outcome.similarities[4] == pytest.approx(1 / np.hypot(1, 0.2), abs=1e-3)
    measures = outcome.decision.measures
    assert measures.schema.remove(0) == SemanticDedup.measures
    rows = {int(row["id"]): row for row in measures.to_pylist()}
    assert sorted(rows) == [0, 1, 2, 4]  # of the text that says nothing, nothing is said
    assert rows[0]["cluster"] == rows[1]["cluster"] != rows[2]["cluster"] == rows[4]["cluster"]
    assert rows[0]["centroid_similarity"] == pytest.approx(np.cos(0.25), abs=5e-3)


def test_the_least_similar_to_the_centroid_stays_where_that_is_asked_for(decided, model):
    texts = ["cat cat", "cat feline", "kitten kitten", "feline cat cat"]
    outcome = decided(SemanticDedup(model=model, clusters=1, min_similarity=0.8, keep="centroid_far"), texts)
    assert outcome.gone == {0: 2, 1: 2, 3: 2}
    assert decided(SemanticDedup(model=model, clusters=1, min_similarity=0.8, keep="longest"), texts).gone == {
        0: 3, 1: 3, 2: 3
    }  # fmt: skip


def random_texts(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    words = [*ANGLES, *PLANES, "zzz"]
    return [" ".join(chance.choices(words, k=chance.randrange(9))) for _ in range(count)]


@pytest.mark.parametrize("keep", ["best_quality", "centroid_far", "first_id"])
def test_order_and_parts_of_the_sidecars_do_not_matter(decided, model, keep):
    texts = random_texts(0, 400)
    barrier = SemanticDedup(model=model, min_similarity=0.9, max_distance_ratio=None, keep=keep, seed=3)
    once = decided(barrier, texts)
    assert 50 < len(once.gone) < 400
    for parts in (2, 5):
        order = random.Random(parts).sample(range(400), 400)
        again = decided(barrier, texts, order=order, parts=parts)
        assert again.decision.verdicts.equals(once.decision.verdicts)
        assert again.decision.clusters.equals(once.decision.clusters)
        assert again.decision.measures.equals(once.decision.measures)


def test_who_goes_is_as_similar_as_asked_to_one_that_stays(decided, model):
    texts = random_texts(1, 300)
    outcome = decided(
        SemanticDedup(model=model, min_similarity=0.9, min_length_ratio=0, max_distance_ratio=None), texts
    )
    vectors = load_encoder(Path(model), 512).encode(pa.array(texts))
    assert not set(outcome.gone.values()) & set(outcome.gone)
    for gone, kept in outcome.gone.items():
        assert vectors[gone] @ vectors[kept] == pytest.approx(outcome.similarities[gone], abs=2e-3)
        assert outcome.similarities[gone] >= 0.9 - 1e-6
    stays = sorted(set(range(300)) - set(outcome.gone))
    clusters = {int(row["id"]): row["cluster"] for row in outcome.decision.measures.to_pylist()}
    for one in stays:
        for other in stays:
            if one < other and clusters.get(one, -1) == clusters.get(other, -2):
                assert vectors[one] @ vectors[other] < 0.9 + 2e-3


def test_documents_in_languages_that_the_model_does_not_know_stay(model):
    batch = TextBatch.of_texts(["cat"] * 4).with_column("language", pa.array(["en", "pl", None, "de"]))
    embeddings = SemanticDedup(model=model, languages=("en", "de")).observe(batch).column("embedding").to_pylist()
    assert [any(embedding) for embedding in embeddings] == [True, False, True, True]


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_nothing_in_gives_nothing_out(decided, model, parts):
    outcome = decided(SemanticDedup(model=model), [], parts=parts)
    assert (outcome.gone, outcome.cluster_sizes) == ({}, {})


def test_more_ids_than_an_array_holds_are_an_error_that_says_whose(decided, model, monkeypatch):
    monkeypatch.setattr(ids, "MAX_ID_BYTES", 15)
    with pytest.raises(UsageError, match=r"ids of 2 documents with an embedding have 16 bytes"):
        decided(SemanticDedup(model=model), ["cat", "dog"])


def test_excluded_documents_are_absent_and_a_second_row_is_an_error(decided, model):
    barrier = SemanticDedup(model=model, keep="first_id")
    assert decided(barrier, ["cat"] * 4, excluded=[0, 2]).gone == {3: 1}
    with pytest.raises(DamagedRunError, match="document '00000001' was observed more than once"):
        decided(barrier, ["cat", "dog", "road"], order=[0, 1, 1])


@pytest.mark.parametrize(
    "options",
    [
        {"min_similarity": 0.5, "min_length_ratio": 0.0, "max_distance_ratio": None},
        {"clusters": 3, "seed": 5},
        {"keep": "first_id"},
        {"keep": "centroid_far"},
    ],
)
def test_fields_that_only_decide_reads_do_not_change_the_sidecars(model, options):
    batch = TextBatch.of_texts(["cat sat", "dog", ""])
    assert set(options) <= SemanticDedup.judged_fields
    observed = SemanticDedup(model=model, **options).observe(batch)
    assert observed == SemanticDedup(model=model).observe(batch)
    assert observed.column("embedding").type == pa.binary(40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_similarity": 0}, "min_similarity: 0 is no similarity; it must be above 0 and at most 1, such as 0.9"),
        ({"min_similarity": 1.5}, "min_similarity: 1.5 is no similarity"),
        ({"min_similarity": float("nan")}, "min_similarity: nan is no similarity"),
        (
            {"clusters": 0},
            "clusters: 0 is no number of clusters for k-means; use 1 to 50000, or null for one in 8800 doc",
        ),
        ({"clusters": 10**9}, "clusters: 1000000000 is no number of clusters for k-means; use 1 to 50000"),
        ({"min_length_ratio": -1}, "min_length_ratio: -1 is no share; use 0 to 1, where 0 is any length"),
        ({"max_distance_ratio": 2}, "max_distance_ratio: 2 is no ratio; use 0 to 1, such as 0.3, or null for none"),
        ({"max_tokens": 2}, "max_tokens: 2 is too few; use 8 or more"),
        ({"max_dropped_share": 3}, "max_dropped_share: 3 is no share"),
    ],
)
def test_parameters_that_cannot_be_are_refused_with_the_value_and_the_mend(model, options, message):
    with pytest.raises(RecipeError, match=rf"semantic_dedup\.{message}"):
        SemanticDedup(model=model, **options).prepare()


def test_a_model_s_sha256_is_held_to(model):
    digest = hashlib.sha256((Path(model) / "model.safetensors").read_bytes()).hexdigest()
    SemanticDedup(model=model, sha256=digest.upper()).prepare()
    with pytest.raises(InputError, match=rf"its sha256 is {digest}, but the recipe asks for {'0' * 64}; restore"):
        SemanticDedup(model=model, sha256="0" * 64).prepare()
    with pytest.raises(InputError, match="nowhere: is not there"):
        SemanticDedup(model=str(Path(model) / "nowhere")).prepare()


def test_a_recipe_s_model_is_found_beside_it_and_the_ledger_says_who_stayed(tmp_path, model):
    (tmp_path / "words").symlink_to(model)
    texts = ["big cat sat", "large feline sat", "road road", "down the road"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "recipe.yaml").write_text(
        "name: trial\nsources:\n  web:\n    paths: [in.jsonl]\n    stages:\n"
        "      - semantic_dedup: {model: words, keep: longest, max_dropped_share: null}\n"
    )
    command = [sys.executable, "-m", "corpusmill.pipeline.command", "run", "recipe.yaml", "--workers", "1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    rows = pq.read_table(tmp_path / "runs/trial/web/ledger").sort_by("offset").to_pylist()
    assert [row["reason"] for row in rows] == ["semantic_duplicate", None, "semantic_duplicate", None]
    assert [row["kept_id"] for row in rows] == [rows[1]["id"], None, rows[3]["id"], None]
    assert [row["cluster_size"] for row in rows][1::2] == [2, 2]
    assert rows[0]["semantic_dedup.cluster"] == rows[1]["semantic_dedup.cluster"] == 0
    assert rows[2]["similarity"] == pytest.approx(1 / np.hypot(1, 0.2), abs=1e-3)


ONESTOP = "quality/onestop_english_3levels/Texts-SeparatedByReadingLevel"


@pytest.mark.realdata
def test_rewritings_of_real_articles_are_found_and_others_are_not(realdata, static_model_of_real_text, decided):
    """Two reading levels of 60 articles; the model was trained on three megabytes of other text."""
    model, _ = static_model_of_real_text
    names = [path.name.removesuffix("-adv.txt") for path in sorted((realdata / ONESTOP / "Adv-Txt").glob("*-adv.txt"))]
    names = [name for name in names if not name.startswith("WNL")][:60]
    texts = [
        (realdata / ONESTOP / level / f"{name}-{end}.txt").read_text("utf-8-sig", "replace")
        for name in names
        for level, end in (("Adv-Txt", "adv"), ("Int-Txt", "int"))
    ]
    outcome = decided(SemanticDedup(model=str(model), max_dropped_share=None, min_similarity=0.8), texts)
    right = sum(gone // 2 == kept // 2 for gone, kept in outcome.gone.items())
    assert right >= 42
    assert right / len(outcome.gone) >= 0.95
