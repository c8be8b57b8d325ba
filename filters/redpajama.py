"""redpajama_signals: RedPajama-V2's quality signals as measures; drops nothing.

Weber et al. 2024, arXiv:2411.12372, section 4.2 and table 8 there: signals are published with the documents, and the
cut is the user's (`corpusmill rejudge`, or a filter behind it). Names and meanings are the paper's (`rps_doc_…`).

Differs from the paper:
    - words are those of `TextBatch.words` without punctuation, in lower case and without diacritics; there, what white
      space separates, punctuation taken out ("well-known" is two words here and one there)
    - shares of characters in the most frequent n-gram count the spaces between words on both sides of the fraction
    - words in capitals are those of ASCII letters
    - left out: signals of single lines (`rps_lines_…`), the share of stop words (its lists are not ours to ship),
      importance weights and classifiers (the `quality` and `perplexity` stages), bad words (`c4_bad_words`), blocked
      domains (`url`) and MinHash signatures (`minhash_dedup`)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, WORD
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.segmentation import decoded, width
from corpusmill.filters.contract import Filter
from corpusmill.filters.text_statistics import count_n_grams, per_document, ratio, text_characters, word_counts

_ALPHA, _WORD = ALPHA, WORD
_TOP, _DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)


class Reason(StrEnum):
    """None: signals are there to be looked at."""


@dataclass(frozen=True, kw_only=True)
class RedPajamaSignals(Filter):
    """Measures what RedPajama-V2 publishes of each document."""

    name: ClassVar[str] = "redpajama_signals"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("rps_doc_word_count", pa.int32(), nullable=False),
            pa.field("rps_doc_num_sentences", pa.int32(), nullable=False),
            pa.field("rps_doc_mean_word_length", pa.float64()),
            pa.field("rps_doc_frac_unique_words", pa.float64()),
            pa.field("rps_doc_unigram_entropy", pa.float64()),
            pa.field("rps_doc_frac_all_caps_words", pa.float64()),
            pa.field("rps_doc_frac_no_alph_words", pa.float64()),
            pa.field("rps_doc_symbol_to_word_ratio", pa.float64()),
            pa.field("rps_doc_frac_lines_end_with_ellipsis", pa.float64()),
            pa.field("rps_doc_curly_bracket", pa.float64()),
            pa.field("rps_doc_lorem_ipsum", pa.float64()),
            *(pa.field(f"rps_doc_frac_chars_top_{n}gram", pa.float64()) for n in _TOP),
            *(pa.field(f"rps_doc_frac_chars_dupe_{n}grams", pa.float64()) for n in _DUPLICATE),
        ]
    )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        spans = batch.words
        word = (spans.kinds & WORD) != 0
        words = per_document(word, spans.firsts)
        firsts = frozen(np.concatenate([[0], np.cumsum(words)]).astype(np.int32))
        lengths, hashes = frozen(spans.characters[word]), frozen(batch.folded_hashes[word])
        letters = per_document(lengths, firsts)
        capitals, unique = np.zeros(len(batch), np.int32), np.zeros(len(batch), np.int32)
        entropy = np.zeros(len(batch), np.float64)
        sentences = np.zeros(len(batch), np.int32)
        grams = np.zeros((len(_TOP) + len(_DUPLICATE), len(batch)), np.int32)
        count_capitals(firsts, batch.text, frozen(spans.starts[word]), frozen(spans.ends[word]), capitals)
        measure_vocabulary(firsts, hashes, unique, entropy)
        count_regex_sentences(batch.offsets, batch.text, CLASSES, sentences)
        count_n_grams(firsts, lengths, hashes, grams)
        bare = per_document((spans.kinds[word] & ALPHA) == 0, firsts)
        signs = word_counts(batch, ())
        characters = text_characters(batch)
        brackets = pc.add(pc.count_substring(batch.texts, "{"), pc.count_substring(batch.texts, "}")).to_numpy()
        ipsum = pc.count_substring(batch.texts, "lorem ipsum", ignore_case=True).to_numpy()
        spaced = letters + np.maximum(words - 1, 0)
        columns = [
            pa.array(words),
            pa.array(sentences),
            ratio(letters, words),
            ratio(unique, words),
            pa.array(entropy, mask=words == 0),
            ratio(capitals, words),
            ratio(bare, words),
            ratio(signs.hashes + signs.ellipses, words),
            ratio(signs.ellipsis_lines, signs.lines),
            ratio(brackets, characters),
            ratio(ipsum, characters),
            *(ratio(grams[row], spaced) for row in range(len(_TOP))),
            *(ratio(grams[row], letters) for row in range(len(_TOP), len(grams))),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)


@kernel
def count_capitals(
    firsts: NDArray[np.int32],
    text: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    capitals: NDArray[np.int32],
) -> None:
    """Words of capital letters of ASCII alone."""
    for document in range(firsts.shape[0] - 1):
        for word in range(firsts[document], firsts[document + 1]):
            position = starts[word]
            while position < ends[word] and 0x41 <= text[position] <= 0x5A:
                position += 1
            capitals[document] += position == ends[word]


@kernel
def measure_vocabulary(
    firsts: NDArray[np.int32], hashes: NDArray[np.uint64], unique: NDArray[np.int32], entropy: NDArray[np.float64]
) -> None:
    """Different words of each document, and the entropy of their frequencies, in nats."""
    longest = 0
    for document in range(firsts.shape[0] - 1):
        longest = max(longest, firsts[document + 1] - firsts[document])
    size = 16
    while size < 2 * longest:
        size *= 2
    table, times = np.empty(size, np.int32), np.empty(size, np.int32)
    for document in range(firsts.shape[0] - 1):
        first, last = firsts[document], firsts[document + 1]
        used = 16
        while used < 2 * (last - first):
            used *= 2
        for slot in range(used):
            table[slot] = -1
        mask = uint64(used - 1)
        for word in range(first, last):
            place = hashes[word] & mask
            while table[place] >= 0 and hashes[table[place]] != hashes[word]:
                place = (place + uint64(1)) & mask
            if table[place] < 0:
                table[place] = word
                times[place] = 0
                unique[document] += 1
            times[place] += 1
        for slot in range(used):
            if table[slot] >= 0:
                share = times[slot] / (last - first)
                entropy[document] -= share * np.log(share)


@kernel
def count_regex_sentences(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], classes: NDArray[np.uint8], sentences: NDArray[np.int32]
) -> None:
    """Matches of the paper's `\\b[^.!?]+[.!?]*`: stretches between those signs that have a word in them."""
    for document in range(offsets.shape[0] - 1):
        position, end = offsets[document], offsets[document + 1]
        word = False
        while position < end:
            byte = text[position]
            if byte in (0x2E, 0x21, 0x3F):
                sentences[document] += word
                word = False
            elif not word:
                word = classes[decoded(text, position)] & _WORD != 0
            position += width(byte)
        sentences[document] += word
