"""py3langid's language model, walked by compiled kernels over a batch's text buffer.

The model (py3langid 0.4, BSD; after Lui and Baldwin 2012, "langid.py: An Off-the-shelf Language Identification Tool",
ACL demonstrations) is naive Bayes over byte n-grams that an automaton finds. A class scores the sum of log(1 + count)
* log P(n-gram | class) over the different n-grams of a text, plus its prior, and the softmax of the scores is taken
at temperature sqrt(bytes). Two classes may be one language in two scripts; their probabilities are added. A text
without any n-gram of the model gives every class the same probability, which makes "sr" with 0.014 of an empty text.
Before all that, a text without a lower-case letter is lowered, and every text is brought into NFC. All of this is as
the library does it.

Differs from the library: sums are rounded less, so probabilities differ by its rounding (below 1e-4), and of two
languages that tie to its last bit the other one may win. Its file, npz inside LZMA, is read without pickle.

Three things make it fast. A transition holds the next state's row as well as its number, so a byte costs one
dependent load instead of two. Four parts of a document are walked side by side, which hides that load's latency; the
states are compared where the parts meet, so the result is exact for any automaton. And the model's float16
logarithms, -15 to -2.7, are all multiples of 2^-9, so they become int16 without loss: half of what float32 would take
from the caches.
"""

from __future__ import annotations

import lzma
import math
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import float32, uint32
from numpy.typing import NDArray
from py3langid.langid import MODEL_DIR, MODEL_FILE

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import InputError
from corpusmill.documents.segmentation import decoded, width
from corpusmill.documents.shards import sha256_of

MODEL_PATH = Path(MODEL_DIR) / MODEL_FILE
_SHIPPED = "f4f4a2c3465ca1f081541037f9cac23021d68151c2f709c55ae5eedfca522963"
"""SHA-256 of the file in py3langid 0.4.0, the one that `LANGUAGES` lists the codes of."""

# fmt: off
LANGUAGES = {
    "ace": "Acehnese", "af": "Afrikaans", "am": "Amharic", "an": "Aragonese", "ar": "Arabic", "ary": "Moroccan Arabic",
    "arz": "Egyptian Arabic", "as": "Assamese", "az": "Azerbaijani", "ba": "Bashkir", "bcl": "Central Bikol",
    "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "br": "Breton", "bs": "Bosnian", "ca": "Catalan",
    "crh": "Crimean Tatar", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "dz": "Dzongkha",
    "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque",
    "ext": "Extremaduran", "fa": "Persian", "fi": "Finnish", "fo": "Faroese", "fr": "French",
    "fuv": "Nigerian Fulfulde", "fy": "Western Frisian", "ga": "Irish", "gcf": "Guadeloupean Creole",
    "gcr": "Guianese Creole",
    "gd": "Scottish Gaelic", "gl": "Galician", "gom": "Goan Konkani", "grc": "Ancient Greek", "gu": "Gujarati",
    "gug": "Paraguayan Guarani", "guw": "Gun", "ha": "Hausa", "hbo": "Ancient Hebrew", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "ht": "Haitian Creole", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "ig": "Igbo",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "jv": "Javanese", "ka": "Georgian", "kab": "Kabyle",
    "kik": "Kikuyu", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "ku": "Kurdish", "ky": "Kyrgyz",
    "la": "Latin", "lb": "Luxembourgish", "lg": "Ganda", "lij": "Ligurian", "ln": "Lingala", "lo": "Lao",
    "lt": "Lithuanian", "ltg": "Latgalian", "lv": "Latvian", "mg": "Malagasy", "mk": "Macedonian", "ml": "Malayalam",
    "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese", "my": "Burmese", "ne": "Nepali", "nl": "Dutch",
    "nn": "Norwegian Nynorsk", "no": "Norwegian", "nso": "Northern Sotho", "oc": "Occitan", "om": "Oromo", "or": "Odia",
    "pa": "Punjabi", "pcm": "Nigerian Pidgin", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "qu": "Quechua",
    "ro": "Romanian", "ru": "Russian", "rw": "Kinyarwanda", "sa": "Sanskrit", "sdh": "Southern Kurdish",
    "se": "Northern Sami", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "sn": "Shona", "so": "Somali",
    "sq": "Albanian", "sr": "Serbian", "st": "Southern Sotho", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tl": "Tagalog", "tr": "Turkish", "tt": "Tatar",
    "ug": "Uyghur", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "uzs": "Southern Uzbek", "vec": "Venetian",
    "vi": "Vietnamese", "vo": "Volapük", "wa": "Walloon", "wuu": "Wu Chinese", "xh": "Xhosa", "yo": "Yoruba",
    "yue": "Cantonese", "zh": "Chinese", "zu": "Zulu", "zxx": "no language",
}
# fmt: on
"""The model's codes and their English names. Recipes are checked against it without the model being loaded."""

# Bits of `traits()`: what preparing a text depends on.
_COMBINING = 0x3F  # rank of the combining class; 0 for a base character
_UNSTABLE = 0x3F  # the rank of a character that NFC may change, alone or by what stands before it
_LOWER = 0x40  # lower case or title case
_UPPER = 0x80

_LONG_PART = 128  # bytes that each of a document's four parts must have, or it is walked in one
_WARM_UP = 16  # bytes before a part that are walked to find the state in which it begins
_BLOCK = 256  # rows summed in single precision before they are added to the double-precision totals
_SCALE = 512.0  # the model's logarithms are multiples of 1 / 512
_ROWS = 512  # of the model that are brought into another type at a time
_LANES = 16  # classes are padded to a multiple of this, for the vector unit


@dataclass(frozen=True, slots=True)
class Model:
    """The tables that the kernels walk. They are read-only, so forked workers share them.

    languages   codes, in the order in which `identify` numbers them
    moves       uint32[rows * 256]     at row and byte: the next state, as row << 8 | the state's place in its row
    rows        int32[rows]            number of each row's first state; the states of a row share its transitions
    features    int32[states]          n-gram that ends in a state; the last number, `len(weights) - 1`, stands for none
    start       uint32                 state before the first byte, in the form of `moves`
    weights     int16[features + 1, classes padded]   512 * log P(n-gram | class); zero for no n-gram
    priors      float64[classes]       log P(class), as the library scales it
    language_of int32[classes]         index into `languages`
    logarithms  float32[1024]          log(1 + count)
    """

    languages: tuple[str, ...]
    moves: NDArray[np.uint32]
    rows: NDArray[np.int32]
    features: NDArray[np.int32]
    start: np.uint32
    weights: NDArray[np.int16]
    priors: NDArray[np.float64]
    language_of: NDArray[np.int32]
    logarithms: NDArray[np.float32]


@cache
def model() -> Model:
    """The model that py3langid ships, loaded once a process.

    Raises:
        InputError: if the file is missing or is not what py3langid 0.4 ships.
    """
    return read_model(MODEL_PATH)


def check_model() -> tuple[str, ...]:
    """The codes of the model that py3langid ships. The file that is known is not unpacked for that, which takes 1 s.

    Raises:
        InputError: if the file is missing or is not what py3langid 0.4 ships.
    """
    known = MODEL_PATH.is_file() and sha256_of(MODEL_PATH) == _SHIPPED
    return tuple(LANGUAGES) if known else model().languages


def read_model(path: Path) -> Model:
    """Reads a model in py3langid 0.4's format.

    Raises:
        InputError: if the file is missing, damaged or of another format.
    """
    mend = 'install it anew with: pip install --force-reinstall "py3langid>=0.4,<0.5"'
    try:
        with lzma.open(path) as packed, np.load(BytesIO(packed.read()), allow_pickle=False) as arrays:
            logs, priors, classes = arrays["ptc"], arrays["pc"], [str(code) for code in arrays["classes"]]
            table, row_of, features = arrays["nextmove"].reshape(-1, 256), arrays["nextmove_row"], arrays["out_feat"]
        _check_tables(logs, priors, classes, table, row_of, features)
    except FileNotFoundError as error:
        raise InputError(f"{path}: the language model is missing; {mend}") from error
    except (lzma.LZMAError, zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path}: no language model of py3langid 0.4 ({error}); {mend}") from error
    order, rows, states = _numbered(row_of, len(table))
    weights = np.zeros((len(logs) + 1, -(-len(classes) // _LANES) * _LANES), np.int16)
    for first, block in _blocks(logs):
        weights[first : first + len(block), : len(classes)] = np.rint(block * np.float32(_SCALE))
    known = features[order]
    languages = tuple(dict.fromkeys(classes))
    return Model(
        languages=languages,
        moves=frozen(states[table].ravel()),
        rows=frozen(rows),
        features=frozen(np.where(known < 0, len(logs), known).astype(np.int32)),
        start=states[0],
        weights=frozen(weights),
        priors=frozen(priors.astype(np.float64)),
        language_of=frozen(np.array([languages.index(code) for code in classes], np.int32)),
        logarithms=frozen(np.log1p(np.arange(1024, dtype=np.float32))),
    )


def _check_tables(
    logs: NDArray[np.floating],
    priors: NDArray[np.floating],
    classes: list[str],
    table: NDArray[np.unsignedinteger],
    row_of: NDArray[np.unsignedinteger],
    features: NDArray[np.signedinteger],
) -> None:
    """Kernels check no bounds, so what they follow is checked here.

    Raises:
        ValueError: if a table points out of another, or holds what the kernels' types cannot.
    """
    if logs.ndim != 2 or logs.shape[1] != len(classes) or priors.shape != (len(classes),):
        raise ValueError("its tables are of different sizes")
    if row_of.shape != features.shape or row_of.ndim != 1 or table.max() >= len(row_of) or row_of.max() >= len(table):
        raise ValueError("its automaton points outside itself")
    if features.max() >= len(logs):
        raise ValueError("its automaton names an n-gram that has no row")
    if not all(np.abs(block).max() < np.iinfo(np.int16).max / _SCALE for _, block in _blocks(logs)):
        raise ValueError(f"its logarithms are not all within {np.iinfo(np.int16).max / _SCALE:.0f} of 0")
    if len(table) > 1 << 24 or np.bincount(row_of).max() > 1 << 8:
        raise ValueError("its automaton has over 2^24 rows, or a row with over 256 states")


def _blocks(logs: NDArray[np.floating]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The rows in single precision, few enough at a time to stay in the cache: ten times as fast as all at once."""
    for first in range(0, len(logs), _ROWS):
        yield first, logs[first : first + _ROWS].astype(np.float32)


def _numbered(
    row_of: NDArray[np.unsignedinteger], n_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint32]]:
    """Numbers states so that those of one row follow each other.

    Returns the old numbers in the new order, each row's first state, and each old state as row << 8 | place in the row.
    """
    order = np.argsort(row_of, kind="stable")
    rows = np.searchsorted(row_of[order], np.arange(n_rows)).astype(np.int32)
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    places -= rows[row_of]
    return order, rows, (row_of.astype(np.uint32) << np.uint32(8)) | places.astype(np.uint32)


def identify(
    texts: pa.StringArray, language_of: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The most probable language of each text, as an index into `model().languages`, and its probability.

    Args:
        texts: the documents.
        language_of: int32[classes], languages of another grouping than the model's `language_of`, to be told instead.
    """
    tables = model()
    offsets, text = text_buffers(prepared(texts))
    firsts, found, factors = features_of(offsets, text, tables)
    languages, scores = np.empty(len(texts), np.int32), np.empty(len(texts), np.float64)
    grouping = tables.language_of if language_of is None else language_of
    score_languages(offsets, firsts, found, factors, tables.weights, tables.priors, grouping, languages, scores)
    return languages, scores


def features_of(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], tables: Model
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The n-grams of each document with log(1 + count), in the form that `count_features` describes."""
    nothing = len(tables.weights) - 1
    at_most = int(np.minimum(np.diff(offsets), nothing).sum()) + 3 * (len(offsets) - 1)
    firsts, found, factors = (
        np.empty(len(offsets), np.int64),
        np.empty(at_most, np.int32),
        np.empty(at_most, np.float32),
    )
    count_features(
        offsets,
        text,
        tables.moves,
        tables.rows,
        tables.features,
        tables.start,
        tables.logarithms,
        nothing,
        firsts,
        found,
        factors,
    )
    return frozen(firsts), frozen(found[: firsts[-1]]), frozen(factors[: firsts[-1]])


def prepared(texts: pa.StringArray) -> pa.StringArray:
    """The texts as the model reads them: in lower case if they have no lower-case letter, and in NFC.

    Few texts of a crawl change; those that may are found by a kernel and prepared one by one.
    """
    offsets, text = text_buffers(texts)
    suspects = np.empty(len(texts), np.bool_)
    find_unprepared(offsets, text, traits(), suspects)
    if not suspects.any():
        return texts
    mask = pa.array(suspects)
    return pc.replace_with_mask(
        texts, mask, pa.array([prepared_text(value) for value in texts.filter(mask).to_pylist()], pa.string())
    )


def prepared_text(text: str) -> str:
    """One text as the model reads it.

    >>> prepared_text("GUTEN TAG")
    'guten tag'
    """
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text)


@cache
def traits() -> NDArray[np.uint8]:
    """uint8[0x110000]: case and normalisation of each code point, by this Python's Unicode version (the library's)."""
    table = np.zeros(0x110000, np.uint8)
    ranks: dict[int, int] = {}
    unstable = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # vowels and finals, which join Hangul syllables
    # What lies between has neither case nor combining classes nor decompositions (a test walks all of it): ideographs,
    # Yi, Hangul syllables (composed as they stand), surrogates, private use.
    for code in (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000), *range(0x2F800, 0x2FA20)):
        character = chr(code)
        if character.isupper():
            table[code] = _UPPER
        elif character.islower() or character.istitle():
            table[code] = _LOWER
        if combining := unicodedata.combining(character):
            ranks[code] = combining
        if parts := unicodedata.decomposition(character):
            if not parts.startswith("<"):
                unstable.update(int(part, 16) for part in parts.split()[1:])
            if not unicodedata.is_normalized("NFC", character):
                unstable.add(code)
    order = {combining: rank for rank, combining in enumerate(sorted(set(ranks.values())), start=1)}
    for code, combining in ranks.items():
        table[code] |= order[combining]
    table[sorted(unstable)] |= _UNSTABLE
    return frozen(table)


@kernel
def find_unprepared(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], traits: NDArray[np.uint8], suspects: NDArray[np.bool_]
) -> None:
    """Marks documents that have upper but no lower case, or that the quick check of UAX 15 cannot call NFC."""
    for document in range(offsets.shape[0] - 1):
        seen = 0
        previous = 0
        stable = True
        position = offsets[document]
        end = offsets[document + 1]
        while position < end and stable:
            lead = text[position]
            if lead < 0x80:
                seen |= traits[lead]
                previous = 0
                position += 1
                continue
            trait = traits[decoded(text, position)]
            combining = trait & _COMBINING
            stable = combining == 0 or (combining >= previous and combining != _UNSTABLE)
            previous = combining
            seen |= trait
            position += width(lead)
        suspects[document] = not stable or (seen & _UPPER != 0 and seen & _LOWER == 0)


@inlined
def moved(state: np.uint32, byte: np.uint8, moves: NDArray[np.uint32]) -> np.uint32:
    """The state after one more byte."""
    return moves[(state & uint32(0xFFFFFF00)) | byte]


@inlined
def tallied(
    state: np.uint32,
    rows: NDArray[np.int32],
    features: NDArray[np.int32],
    counts: NDArray[np.int32],
    found: NDArray[np.int32],
    n_found: int,
) -> int:
    """Counts the n-gram that ends in `state`, and returns how many different ones there are now. Without a branch."""
    feature = features[rows[state >> uint32(8)] + (state & uint32(0xFF))]
    found[n_found] = feature
    n_found += counts[feature] == 0
    counts[feature] += 1
    return n_found


@kernel
def walk(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    moves: NDArray[np.uint32],
    rows: NDArray[np.int32],
    features: NDArray[np.int32],
    first_state: np.uint32,
    counts: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Counts the n-grams of `text[start:end]` into `counts` (all zero before) and lists the different ones in `found`.

    Returns how many there are, among them perhaps the number that stands for no n-gram.
    """
    n_found = 0
    position = start
    state = first_state
    part = (end - start) // 4
    if part >= _LONG_PART:
        second = third = fourth = first_state
        for at in range(start + part - _WARM_UP, start + part):
            second = moved(second, text[at], moves)
            third = moved(third, text[at + part], moves)
            fourth = moved(fourth, text[at + 2 * part], moves)
        second_began, third_began, fourth_began = second, third, fourth
        for at in range(start, start + part):
            state = moved(state, text[at], moves)
            second = moved(second, text[at + part], moves)
            third = moved(third, text[at + 2 * part], moves)
            fourth = moved(fourth, text[at + 3 * part], moves)
            n_found = tallied(state, rows, features, counts, found, n_found)
            n_found = tallied(second, rows, features, counts, found, n_found)
            n_found = tallied(third, rows, features, counts, found, n_found)
            n_found = tallied(fourth, rows, features, counts, found, n_found)
        if state == second_began and second == third_began and third == fourth_began:
            position = start + 4 * part
            state = fourth
        else:  # this automaton remembers more than the warm-up showed it: all over again, in one part
            for index in range(n_found):
                counts[found[index]] = 0
            n_found = 0
            state = first_state
    for at in range(position, end):
        state = moved(state, text[at], moves)
        n_found = tallied(state, rows, features, counts, found, n_found)
    return n_found


@kernel
def count_features(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    moves: NDArray[np.uint32],
    rows: NDArray[np.int32],
    features: NDArray[np.int32],
    first_state: np.uint32,
    logarithms: NDArray[np.float32],
    nothing: int,
    firsts: NDArray[np.int64],
    found: NDArray[np.int32],
    factors: NDArray[np.float32],
) -> None:
    """Lists the different n-grams of each document, and log(1 + count) for each.

    Those of document d are `found[firsts[d]:firsts[d + 1]]`, filled up to a multiple of four with `nothing`, the number
    that stands for no n-gram, and a factor of 0.
    """
    counts = np.zeros(nothing + 1, np.int32)
    seen = np.empty(nothing + 2, np.int32)
    filled = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = filled
        start, end = offsets[document], offsets[document + 1]
        for index in range(walk(text, start, end, moves, rows, features, first_state, counts, seen)):
            feature = seen[index]
            count = counts[feature]
            counts[feature] = 0
            if feature != nothing:
                found[filled] = feature
                factors[filled] = logarithms[count] if count < logarithms.shape[0] else float32(math.log1p(count))
                filled += 1
        while (filled - firsts[document]) % 4 != 0:
            found[filled] = nothing
            factors[filled] = float32(0.0)
            filled += 1
    firsts[offsets.shape[0] - 1] = filled


@kernel
def add_rows(
    found: NDArray[np.int32],
    factors: NDArray[np.float32],
    first: int,
    last: int,
    weights: NDArray[np.int16],
    sums: NDArray[np.float32],
    totals: NDArray[np.float64],
) -> None:
    """Sets `totals` to the sum of factor * weights over `found[first:last]`, four rows at a time."""
    totals[:] = 0.0
    for block in range(first, last, _BLOCK):
        sums[:] = float32(0.0)
        for at in range(block, min(block + _BLOCK, last), 4):
            a, b, c, d = found[at], found[at + 1], found[at + 2], found[at + 3]
            times_a, times_b, times_c, times_d = factors[at], factors[at + 1], factors[at + 2], factors[at + 3]
            for column in range(weights.shape[1]):
                sums[column] += (
                    times_a * float32(weights[a, column])
                    + times_b * float32(weights[b, column])
                    + times_c * float32(weights[c, column])
                    + times_d * float32(weights[d, column])
                )
        for column in range(weights.shape[1]):
            totals[column] += sums[column]


@kernel
def share_out(
    scores: NDArray[np.float64],
    temperature: float,
    language_of: NDArray[np.int32],
    probabilities: NDArray[np.float64],
) -> None:
    """Sets `probabilities` to the softmax of the classes' scores, added up by language."""
    highest = scores.max()
    total = 0.0
    probabilities[:] = 0.0
    for column in range(scores.shape[0]):
        share = math.exp((scores[column] - highest) / temperature)
        probabilities[language_of[column]] += share
        total += share
    probabilities /= total


@kernel
def score_languages(
    offsets: NDArray[np.int32],
    firsts: NDArray[np.int64],
    found: NDArray[np.int32],
    factors: NDArray[np.float32],
    weights: NDArray[np.int16],
    priors: NDArray[np.float64],
    language_of: NDArray[np.int32],
    languages: NDArray[np.int32],
    probabilities: NDArray[np.float64],
) -> None:
    """Fills in the most probable language of each document (of several the first) and its probability."""
    sums, totals = np.empty(weights.shape[1], np.float32), np.empty(weights.shape[1], np.float64)
    scores, shares = np.empty(priors.shape[0], np.float64), np.empty(language_of.max() + 1, np.float64)
    for document in range(offsets.shape[0] - 1):
        first, last = firsts[document], firsts[document + 1]
        scores[:] = 0.0  # without n-grams the priors do not count either
        if last > first:
            add_rows(found, factors, first, last, weights, sums, totals)
            for column in range(priors.shape[0]):
                scores[column] = totals[column] / _SCALE + priors[column]
        share_out(scores, math.sqrt(max(offsets[document + 1] - offsets[document], 1)), language_of, shares)
        best = shares.argmax()
        languages[document] = best
        probabilities[document] = shares[best]
