"""Embeddings of static models against plain Python and the package model2vec, of ONNX models against plain Python."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from corpusmill.dedup.embeddings import BYTES_A_TOKEN, excerpts, load_encoder, model_files
from corpusmill.documents.errors import InputError

WORDS = ["[UNK]", "[CLS]", "[SEP]", "cat", "dog", "sat", "ran", "the", "mat", "road"]
VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
TEXTS = st.lists(st.lists(st.sampled_from([*WORDS[3:], "unheard", "of"]), max_size=30).map(" ".join), max_size=8)


def tokenizer_of(words: list[str] = WORDS) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    return tokenizer


def static_model(folder: Path, **tensors: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_of().save(str(folder / "tokenizer.json"))
    save_file({"embeddings": VECTORS, **tensors}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"normalize": True}))
    return folder


def onnx_model(
    folder: Path, outputs: str = "tokens", inputs: tuple[str, ...] = ("input_ids", "attention_mask")
) -> Path:
    """A lookup of each token's vector (output `last_hidden_state`), or that and its mean where the mask is 1."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_of().save(str(folder / "tokenizer.json"))
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["wide"]),
        helper.make_node("Mul", ["last_hidden_state", "wide"], ["masked"]),
        helper.make_node("ReduceMean", ["masked", "middle"], ["sentence_embedding"], keepdims=0),
    ]
    token_output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "length", 6])
    pooled_output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", 6])
    flat = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])
    chosen = {"tokens": [token_output], "both": [token_output, pooled_output], "none": [flat]}[outputs]
    graph = helper.make_graph(
        nodes[: {"tokens": 1, "both": 5, "none": 0}[outputs]],
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
        chosen,
        [
            numpy_helper.from_array(VECTORS, "table"),
            numpy_helper.from_array(np.array([-1]), "last"),
            numpy_helper.from_array(np.array([1]), "middle"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return folder


def encoded(model: Path, texts: list[str], max_tokens: int = 512) -> np.ndarray:
    return load_encoder(model, max_tokens).encode(pa.array(texts, pa.string()))


def plain(texts: list[str], weights: list[float] | None = None, *, special: bool = False) -> np.ndarray:
    """Embeddings by the book."""
    rows = []
    for text in texts:
        known = [WORDS.index(word) for word in text.split() if word in WORDS]
        if special and text.split():
            unknown = [0 for word in text.split() if word not in WORDS]
            known = [1, *known, *unknown, 2]
        vector = sum((weights[token] if weights else 1) * VECTORS[token].astype(float) for token in known)
        length = np.linalg.norm(vector)
        rows.append(vector / length if length else np.zeros(6))
    return np.array(rows).reshape(-1, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@given(TEXTS)
def test_a_static_embedding_is_the_sum_of_its_tokens_vectors_at_length_1(folder, texts):
    model = folder / "plain" if (folder / "plain").exists() else static_model(folder / "plain")
    assert np.allclose(encoded(model, texts), plain(texts), atol=1e-6)


@given(TEXTS)
def test_tokens_may_share_vectors_and_have_weights(folder, texts):
    weights = [0.5, 1, 1, 2, 0.25, 1, 1, 0.01, 1, 3]
    if not (model := folder / "shared").exists():
        shuffled = np.random.default_rng(1).permutation(len(WORDS))
        static_model(model, embeddings=VECTORS[np.argsort(shuffled)], mapping=shuffled, weights=np.array(weights))
    assert np.allclose(encoded(model, texts), plain(texts, weights), atol=1e-6)


SENTENCES = ["the cat sat", "the dog ran the road road", "unheard of", "", "mat", "the unheard mat"]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
@pytest.mark.parametrize("shared", [False, True])
def test_the_package_model2vec_gives_the_same_embeddings(tmp_path, kind, shared):
    from model2vec import StaticModel

    vectors = (VECTORS * 30).astype(kind) if kind == np.int8 else VECTORS.astype(kind)
    more = {"mapping": np.arange(len(WORDS))[::-1].copy(), "weights": np.linspace(0.1, 2, len(WORDS))} if shared else {}
    model = static_model(tmp_path / "model", embeddings=vectors, **more)
    theirs = StaticModel.from_pretrained(model).encode(SENTENCES, use_multiprocessing=False)
    assert np.allclose(encoded(model, SENTENCES), theirs, atol=2e-3 if kind == np.float16 else 1e-6)


@pytest.mark.realdata
def test_real_text_and_a_trained_vocabulary_have_model2vec_s_embeddings(static_model_of_real_text):
    from model2vec import StaticModel

    model, texts = static_model_of_real_text
    chosen = [text[:1500] for text in texts[:200]]
    theirs = StaticModel.from_pretrained(model).encode(chosen, use_multiprocessing=False)
    ours = encoded(model, chosen)
    assert np.abs(ours - theirs).max() < 1e-5
    assert (np.linalg.norm(ours, axis=1) > 0.999).mean() > 0.95


@given(TEXTS)
def test_an_encoder_s_token_vectors_are_averaged(folder, texts):
    model = folder / "onnx" if (folder / "onnx").exists() else onnx_model(folder / "onnx", inputs=("input_ids",))
    assert np.allclose(encoded(model, texts), plain(texts, special=True), atol=1e-6)


@given(TEXTS)
def test_an_encoder_s_own_pooling_is_taken_where_it_has_one(folder, texts):
    model = folder / "pooled" if (folder / "pooled").exists() else onnx_model(folder / "pooled", "both")
    assert np.allclose(encoded(model, texts), plain(texts, special=True), atol=1e-6)


@pytest.mark.parametrize("make", [static_model, onnx_model])
def test_a_text_s_embedding_does_not_depend_on_those_beside_it(tmp_path, make):
    inputs = {"inputs": ("input_ids",)} if make is onnx_model else {}
    model = make(tmp_path / "model", **inputs)
    together = encoded(model, SENTENCES)
    apart = np.concatenate([encoded(model, [sentence]) for sentence in SENTENCES])
    assert together.tobytes() == apart.tobytes()
    assert encoded(model, []).shape == (0, 6)


@pytest.mark.parametrize("make", [static_model, onnx_model])
def test_no_more_than_so_many_tokens_count(tmp_path, make):
    inputs = {"inputs": ("input_ids",)} if make is onnx_model else {}
    model = make(tmp_path / "model", **inputs)
    room = 10 - 2 * (make is onnx_model)  # an encoder's tokens have one before and one behind them
    start = " ".join((["cat", "sat"] * 10)[:room])
    assert np.array_equal(*encoded(model, [start, start + " dog"], max_tokens=10))


@given(st.lists(st.text(), max_size=5), st.integers(8, 600))
def test_a_text_that_is_not_long_is_taken_whole_and_another_is_never_longer(texts, max_tokens):
    taken = excerpts(pa.array(texts, pa.string()), max_tokens)
    for text, excerpt in zip(texts, taken, strict=True):
        if len(text.encode()) <= BYTES_A_TOKEN * max_tokens:
            assert excerpt == text
        assert len(excerpt.encode()) <= BYTES_A_TOKEN * max_tokens + 7


def test_excerpts_of_a_long_text_come_from_its_beginning_to_its_end():
    text = "".join(f"{place:06} " for place in range(5000))
    [taken] = excerpts(pa.array([text]), 512)
    assert taken.startswith("000000 000001 ")
    assert taken.endswith(" 004998 004999 ")
    eighths = {int(word) // 625 for word in taken.split() if len(word) == 6}
    assert eighths == set(range(8))
    [short] = excerpts(pa.array([text]), 8)
    assert short == text[:32]
    assert set(excerpts(pa.array(["é" * 10_000]), 512)[0]) == {"é", " "}  # characters that are cut in two are left out


def test_texts_that_begin_alike_are_not_alike_for_that(tmp_path):
    model = static_model(tmp_path / "model")
    one, other = encoded(model, ["the mat " * 1000 + "cat " * 9000, "the mat " * 1000 + "road " * 9000])
    assert one @ other < 0.6


def test_a_hostile_text_costs_no_more_than_its_excerpts(tmp_path):
    model = static_model(tmp_path / "model")
    assert np.allclose(encoded(model, ["cat " * 5_000_000]), encoded(model, ["cat"]), atol=1e-3)


def test_a_model_is_read_again_when_its_file_is_another(tmp_path):
    model = static_model(tmp_path / "model")
    first = load_encoder(model, 512)
    assert load_encoder(model, 512) is first
    static_model(model, embeddings=-VECTORS, other=np.zeros(3, np.float32))
    assert np.allclose(encoded(model, ["cat"]), -plain(["cat"]), atol=1e-6)


def test_an_encoder_s_folder_may_hold_its_weights_in_both_formats(tmp_path):
    model = onnx_model(tmp_path / "model" / "onnx", inputs=("input_ids",)).parent
    (model / "onnx" / "tokenizer.json").rename(model / "tokenizer.json")
    save_file({"encoder.layer.0.weight": VECTORS}, model / "model.safetensors")
    assert [path.name for path in model_files(model)] == ["model.onnx", "tokenizer.json"]
    assert np.allclose(encoded(model, ["the cat"]), plain(["the cat"], special=True), atol=1e-6)
    assert model_files(model / "onnx" / "model.onnx") == model_files(model)


def test_values_beside_an_onnx_file_belong_to_the_model(tmp_path):
    model = onnx_model(tmp_path / "model", inputs=("input_ids",))
    (model / "model.onnx_data").write_bytes(b"values")
    assert [path.name for path in model_files(model)] == ["model.onnx", "tokenizer.json", "model.onnx_data"]


def damaged(tmp_path: Path, kind: str) -> Path:
    """A model that cannot be used."""
    model = static_model(tmp_path / "model")
    weights, tokenizer = model / "model.safetensors", model / "tokenizer.json"
    content = weights.read_bytes()
    if kind == "missing":
        return tmp_path / "no such model"
    if kind == "a text file":
        (tmp_path / "model.txt").write_text("words")
        return tmp_path / "model.txt"
    if kind == "empty folder":
        (tmp_path / "empty").mkdir()
        return tmp_path / "empty"
    if kind == "no tokenizer":
        tokenizer.unlink()
    elif kind == "tokenizer of another kind":
        tokenizer.write_text('{"version": 1}')
    elif kind == "other tokenizer":
        tokenizer_of([*WORDS, "more"]).save(str(tokenizer))
    elif kind == "transformer":
        save_file({f"encoder.layer.{layer}": VECTORS for layer in range(9)}, weights)
    elif kind == "whole numbers":
        save_file({"embeddings": VECTORS.astype(np.int64)}, weights)
    elif kind == "a row":
        save_file({"embeddings": VECTORS[0]}, weights)
    elif kind == "weights of another":
        static_model(model, weights=np.ones(3))
    elif kind == "mapping out of range":
        static_model(model, mapping=np.arange(len(WORDS)) + 1)
    elif kind == "no numbers":
        static_model(model, embeddings=np.full_like(VECTORS, np.nan))
    elif kind == "truncated":
        weights.write_bytes(content[:-4])
    elif kind == "no header":
        weights.write_bytes(content[:5])
    elif kind == "header too long":
        weights.write_bytes(b"\xff" * 8 + content[8:])
    elif kind == "header of a list":
        weights.write_bytes((2).to_bytes(8, "little") + b"[]")
    elif kind == "negative sides":
        entry = {"embeddings": {"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]}}
        header = json.dumps(entry).encode()
        weights.write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    else:
        weights.unlink()
        if kind == "no ONNX":
            (model / "model.onnx").write_bytes(b"not protobuf")
        elif kind == "other inputs":
            onnx_model(model, inputs=("input_ids", "pixel_values"))
        elif kind == "no embedding":
            onnx_model(model, "none", inputs=("input_ids",))
    return model


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "missing",
            r"no such model: is not there; name the folder of a model2vec or ONNX model that you have",
        ),
        ("a text file", r"model\.txt: is neither a folder nor an \.onnx file; name the folder"),
        ("empty folder", r"empty: no model is in this folder; it should hold model\.safetensors .* or model\.onnx"),
        ("no tokenizer", r"model\.safetensors: no tokenizer\.json is beside it; put the one there that the model was"),
        ("tokenizer of another kind", r"tokenizer\.json: is no Hugging Face tokenizer\.json"),
        ("other tokenizer", r"has vectors for 10 tokens, and the tokenizer\.json beside it has 11; take both from one"),
        (
            "transformer",
            r"holds no static embeddings .*, but encoder\.layer\.0, .* and 3 more; of a transformer",
        ),
        ("whole numbers", r"model\.safetensors: holds no static embeddings"),
        ("a row", r"model\.safetensors: holds no static embeddings"),
        ("weights of another", r"has 3 weights for 10 tokens; it is damaged"),
        ("mapping out of range", r"has vectors for 10 tokens"),
        ("no numbers", r"gives embeddings that are no numbers; the model is damaged: fetch it again"),
        ("truncated", r"tensor `embeddings` does not fit into the file; fetch the model again"),
        ("no header", r"is no safetensors file, or not all of one; fetch the model again"),
        ("header too long", r"is no safetensors file, or not all of one"),
        ("header of a list", r"is no safetensors file, or not all of one"),
        ("negative sides", r"tensor `embeddings` does not fit"),
        ("no ONNX", r"model\.onnx: is no ONNX model that can be run"),
        (
            "other inputs",
            r"asks for input_ids, pixel_values, but a sentence encoder is given attention_mask",
        ),
        ("no embedding", r"none of its outputs \(input_ids\) is an embedding of a text or of its tokens"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_with_the_mend(tmp_path, kind, message):
    with pytest.raises(InputError, match=message):
        load_encoder(damaged(tmp_path, kind), 512)


def test_tokens_beyond_a_model_s_places_are_an_error_that_names_the_mend(tmp_path):
    """Positions are looked up in a table of 16, as in a transformer."""
    model = onnx_model(tmp_path / "model", inputs=("input_ids",))
    graph = onnx.load(model / "model.onnx").graph
    graph.initializer.append(numpy_helper.from_array(np.zeros((16, 6), np.float32), "places"))
    graph.input.append(helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["batch", "length"]))
    graph.node[0].output[0] = "words"
    graph.node.append(helper.make_node("Gather", ["places", "position_ids"], ["at"]))
    graph.node.append(helper.make_node("Add", ["words", "at"], ["last_hidden_state"]))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), model / "model.onnx")
    assert np.allclose(encoded(model, ["cat"], 16), plain(["cat"], special=True), atol=1e-6)
    with pytest.raises(InputError, match=r"model\.onnx: fails on 17 tokens; lower max_tokens to what the model takes"):
        load_encoder(model, 17)


def test_without_onnxruntime_the_error_names_the_extra(tmp_path, monkeypatch):
    model = onnx_model(tmp_path / "model", inputs=("input_ids",))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs onnxruntime: pip install 'corpusmill\[semantic\]'"):
        load_encoder(model, 512)


def test_a_word_that_a_tokenizer_has_nothing_for_is_an_error_of_the_model(tmp_path):
    model = static_model(tmp_path / "model")
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "[ABSENT]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(model / "tokenizer.json"))
    with pytest.raises(InputError, match=r"model\.safetensors: its tokenizer fails on a text: WordLevel error"):
        load_encoder(model, 512)


def test_a_unigram_vocabulary_s_unknown_token_counts_for_nothing(tmp_path):
    model = static_model(tmp_path / "model")
    tokenizer = Tokenizer(models.Unigram([(word, -1.0) for word in WORDS], 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(model / "tokenizer.json"))
    assert not encoded(model, ["zzz"]).any()
    assert np.allclose(encoded(model, ["zzz cat"]), plain(["cat"]), atol=1e-6)
