"""Ways to corrupt sound texts, and the sound texts: what the quality score is calibrated with.

    paper           half of a text's tokens become random tokens of the vocabulary (Subramanyam et al. 2025,
                    arXiv:2510.03313; here of a byte-level BPE that was trained on the texts)
    shuffled        the words between white space, in random order
    ocr             character errors as scanners make them: look-alikes, lost and doubled characters, broken words
    wrong encoding  written in one code page and read in another
    truncated       the text ends in the middle of a sentence
    boilerplate     menus, notices and buttons of a web page before and after the text

A corruptor takes a text and a `random.Random` and returns a text. `corrupted` applies one to a share of the texts: the
texts that it takes at a small share are among those that it takes at a larger one, and each is spoilt alike at both.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import prose
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Corruptor = Callable[[str, random.Random], str]

PAGE = 4_000
"""Characters of a page of a book or of an article: about what C4's documents have at most (their mean is 2,200)."""


def corrupted(
    texts: Sequence[str], share: float, corruptor: Corruptor, seed: int = 0
) -> tuple[list[str], NDArray[np.bool_]]:
    """The texts with about `share` of their bytes in corrupted ones, and which these are."""
    keys = [hashlib.blake2b(f"{seed}\0{row}".encode(), digest_size=8).digest() for row in range(len(texts))]
    sizes = np.array([len(text.encode()) for text in texts], np.float64)
    order = np.array(sorted(range(len(texts)), key=keys.__getitem__), np.int64)
    before = np.cumsum(sizes[order]) - sizes[order] / 2
    touched = np.zeros(len(texts), np.bool_)
    touched[order[before < share * sizes.sum()]] = True
    found = [
        corruptor(text, random.Random(f"{seed}/{row}")) if touched[row] else text for row, text in enumerate(texts)
    ]
    return found, touched


# The paper's.


def byte_level_bpe(texts: Sequence[str], size: int = 32_000) -> Tokenizer:
    """A byte-level BPE of these texts, such as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def random_tokens(tokenizer: Tokenizer, share: float = 0.5) -> Corruptor:
    """In each text this share of the tokens, drawn without putting back, becomes random tokens."""

    def corrupt(text: str, chance: random.Random) -> str:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        for place in chance.sample(range(len(ids)), round(share * len(ids))):
            ids[place] = chance.randrange(tokenizer.get_vocab_size())
        return str(tokenizer.decode(ids, skip_special_tokens=False))

    return corrupt


# Others.


def shuffled(text: str, chance: random.Random) -> str:
    """The words in random order; the white space stays where it was."""
    parts = re.split(r"(\s+)", text)
    words = parts[::2]
    chance.shuffle(words)
    parts[::2] = words
    return "".join(parts)


_LOOK_ALIKES = {
    "a": "oe", "b": "h6", "c": "eo", "d": "cl", "e": "co", "f": "tl", "g": "q9", "h": "bli", "i": "l1!", "j": "i;",
    "k": "lt", "l": "1iI", "m": ["rn", "nn", "in"], "n": ["ri", "u", "ii"], "o": "0ce", "p": "pq", "q": "gp",
    "r": "tn", "s": "5z", "t": "lfr", "u": ["ii", "n", "v"], "v": "yu", "w": ["vv", "iv"], "x": "sz", "y": "vg",
    "z": "2s", "I": "l1|", "O": "0Q", "S": "5$", "B": "8R", "E": "FL", "D": "O0", "G": "6C", "0": "O", "1": "lI",
    "5": "S", "8": "B", ".": ",", ",": ".;",
}  # fmt: skip


def ocr_noise(rate: float = 0.1) -> Corruptor:
    """Each character that is no white space is misread with this chance; so is one space of a third of it."""

    def corrupt(text: str, chance: random.Random) -> str:
        found = []
        for character in text:
            if character == " ":
                found.append("" if chance.random() < rate / 3 else " ")
            elif character.isspace() or chance.random() >= rate:
                found.append(character)
            else:
                way = chance.random()
                if way < 0.7:
                    found.append(chance.choice(_LOOK_ALIKES.get(character, "~^-'")))
                elif way < 0.8:
                    found.append(character + " ")
                elif way < 0.9:
                    found.append(character + chance.choice(".'`-"))
        return "".join(found)

    return corrupt


ENCODINGS = (
    ("utf-8", "cp1252"),
    ("utf-8", "latin-1"),
    ("utf-8", "cp1250"),
    ("utf-8", "cp1251"),
    ("utf-8", "cp1253"),
    ("utf-8", "cp437"),
    ("utf-8", "mac-roman"),
    ("utf-8", "koi8-r"),
    ("utf-8", "gbk"),
    ("utf-8", "shift-jis"),
    ("cp1251", "latin-1"),
    ("cp1251", "koi8-r"),
    ("koi8-r", "cp1251"),
    ("cp866", "cp1251"),
    ("cp1253", "cp1252"),
    ("cp1250", "cp1252"),
    ("gbk", "cp1252"),
    ("big5", "gbk"),
    ("latin-1", "utf-8"),
    ("cp1252", "cp437"),
    ("utf-16-le", "latin-1"),
    ("utf-16-le", "utf-16-be"),
    ("cp500", "latin-1"),
)
"""Written in, and read as. The last three garble ASCII, too."""


def misread(text: str, written: str, read: str) -> str:
    """`text` as a program shows it that takes one code page for another. Bytes without a meaning are shown as browsers
    do: as controls or U+FFFD."""
    data = text.encode(written, "replace")
    return data.decode("latin-1") if read == "latin-1" else data.decode(read, "replace")


def wrongly_encoded(text: str, chance: random.Random) -> str:
    """`text` misread in one of the ways that garble at least every tenth word, and whose first code page has its
    characters."""
    words = text.split()
    for written, read in chance.sample(ENCODINGS, len(ENCODINGS)):
        if sum(character == "?" for character in text.encode(written, "replace").decode(written)) > text.count("?"):
            continue
        found = misread(text, written, read)
        strange = sum(misread(word, written, read) != word for word in words)
        if strange * 10 >= len(words):
            return found
    return text


def truncated(text: str, chance: random.Random) -> str:
    """The first third to nine tenths of a text, ending within a word."""
    end = int(len(text) * chance.uniform(1 / 3, 0.9))
    while end > 1 and not (text[end - 1].isalpha() and text[end].isalpha()):
        end -= 1
    return text[:end]


_MENU = (
    "Home", "News", "Sport", "Business", "Opinion", "Culture", "Weather", "Travel", "Jobs", "Video", "Contact",
    "About us", "Sign in", "Register", "My account", "Newsletter", "Subscribe", "RSS", "Most read", "Site map",
    "Photos", "World", "Local", "Politics", "Health", "Science", "Technology", "Letters", "Archive",
    "Advertise", "Help", "Search",
)  # fmt: skip
_BUTTONS = (
    "Share",
    "Tweet",
    "Print",
    "E-mail",
    "Like",
    "Pin it",
    "Save",
    "Comments (%d)",
    "%d shares",
    "Reply",
    "Report",
)
_NOTICES = (
    "We use cookies to give you the best experience on our site. Accept",
    "Copyright 20%02d. All rights reserved.",
    "Terms of use | Privacy policy | Cookie settings",
    "Please enable JavaScript to view the comments.",
    "Sign up for our newsletter",
    "Follow us on Twitter and Facebook",
)


def with_boilerplate(text: str, chance: random.Random) -> str:
    """The text between a menu, buttons and notices, about as many bytes of these as of the text at most."""

    def line(template: str) -> str:
        return template % chance.randrange(1, 30) if "%" in template else template

    menu = chance.sample(_MENU, chance.randrange(12, len(_MENU)))
    buttons = [line(button) for button in chance.sample(_BUTTONS, 5)]
    notices = [line(notice) for notice in chance.sample(_NOTICES, 3)]
    return "\n".join([*menu, *buttons, text.strip(), *buttons, *chance.sample(_MENU, 12), *notices])


# Sound texts.


def clean_texts(realdata: Path) -> dict[str, list[str]]:
    """Books in pages, Wikipedia's articles, and news, 6 to 40 MB each, none shorter than a paragraph."""
    reuters = "text/reuters21578_webtext_speeches/reuters"
    return {
        "books": [text for _, text in prose._books(realdata) if len(text) > 500],
        "wikipedia": [page for text in _articles(realdata) for page in _pages(text)],
        "news": [
            path.read_text("latin-1").replace("&lt;", "<")
            for path in prose._files(realdata, reuters, "t*/*")
            if path.stat().st_size > 500
        ],
    }


def _articles(realdata: Path) -> Iterator[str]:
    """WikiText-2 without the marks of its tokenisation."""
    for path in prose._files(realdata, "text/wikitext2_valid_test", "*/*.txt"):
        text = re.sub(r" @([-,.])@ ", r"\1", path.read_text("utf-8"))
        text = re.sub(r" ([,.;:!?)\]]|'s|n't)", r"\1", text).replace("( ", "(")
        yield from re.split(r"(?m)^ = (?=[^=])", text)[1:]


def _pages(text: str) -> Iterator[str]:
    page: list[str] = []
    for paragraph in text.split("\n"):
        page.append(paragraph)
        if sum(map(len, page)) >= PAGE:
            yield "\n".join(page)
            page = []
    if sum(map(len, page)) > PAGE // 8:
        yield "\n".join(page)
