"""A static embedding model in model2vec's format, trained on given texts: nothing can be downloaded where this runs.

A token's vector is made of its neighbours: positive pointwise mutual information within WINDOW tokens (contexts to the
power of 0.75), its left singular vectors (Levy & Goldberg 2014, with eigenvalue weighting 0, which fared best here),
the direction that all texts have in common taken out, and a weight that is low for frequent tokens (Arora et al. 2017,
with a = 0.001). It is far behind a distilled transformer, but it knows which words stand for one another in its texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

WINDOW = 5
_RARE = 1e-3


def train(texts: Sequence[str], folder: Path, *, vocabulary: int = 8000, dimensions: int = 128) -> Path:
    """Writes model.safetensors, tokenizer.json and config.json to `folder`, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    documents = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    vectors = token_vectors(documents, tokenizer.get_vocab_size(), dimensions)
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True, "max_length": 512}))
    return folder


def token_vectors(documents: Sequence[Sequence[int]], count: int, dimensions: int) -> NDArray[np.float32]:
    """float32[count, dimensions]."""
    gap = np.full(WINDOW, count)  # between documents, so that no pair crosses
    tokens = np.concatenate([np.concatenate([np.asarray(document, np.int64), gap]) for document in documents])
    pairs = csr_array((count, count))
    for distance in range(1, WINDOW + 1):
        left, right = tokens[:-distance], tokens[distance:]
        both = (left < count) & (right < count)
        pairs = pairs + csr_array((np.ones(both.sum()), (left[both], right[both])), shape=(count, count))
    pairs = (pairs + pairs.T).tocoo()
    frequency = np.bincount(tokens, minlength=count + 1)[:count]
    sums = np.asarray(pairs.sum(axis=0)).ravel() + 1e-9
    information = np.log(pairs.data * sums.sum() / (sums[pairs.row] * sums[pairs.col] ** 0.75 * sums.sum() ** 0.25))
    positive = information > 0
    matrix = csr_array((information[positive], (pairs.row[positive], pairs.col[positive])), shape=(count, count))
    found = TruncatedSVD(dimensions, random_state=0, n_iter=4).fit(matrix)
    vectors = found.transform(matrix) / found.singular_values_
    weights = _RARE / (_RARE + frequency / max(1, frequency.sum()))
    common = (vectors * (weights * frequency)[:, None]).sum(axis=0)
    common /= np.linalg.norm(common)
    vectors -= np.outer(vectors @ common, common)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    return np.ascontiguousarray(vectors * weights[:, None], np.float32)
