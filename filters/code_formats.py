"""code_formats: drops files of markup and data that are little else than markup and data.

By StarCoder (Li et al. 2023, arXiv:2305.06161, section 3.2, "XML filter", "HTML", "JSON and YAML"):

    XML         a file in any language but XSLT with `<?xml version=` in its first 100 characters is dropped
    HTML        visible text has at least 100 characters and a share of .2 of the file
    JSON, YAML  50 to 5,000 characters, at least half of them letters

and by The Stack v2 (Lozhkov et al. 2024, arXiv:2402.19173, section 3.1), which added

    Text, JSON, YAML, Web Ontology Language, Graphviz   at most 512 lines
    Text        files alone that are documentation by their name (readme, notes, todo, requirements …)

Differs from the papers: visible text is what stands outside of tags, comments, scripts and styles, with white space in
a row counted once and character references as they are written, found by a scan and not by a parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.filters.code_languages import among, file_names, programming_languages
from corpusmill.filters.code_lines import line_measures
from corpusmill.filters.contract import Filter, Rule

DOCUMENTATION = r"requirement|^(?:readme|notes|todo|description|cmakelists)(?:\.[^.]*)?$"
"""What the names of text files with documentation are like, in lower case."""
_XML = r"\A(?s:.{0,86})<\?xml version="  # 100 characters, the declaration included


class Reason(StrEnum):
    XML = "xml"
    LITTLE_VISIBLE_TEXT = "little_visible_text"
    LOW_VISIBLE_SHARE = "low_visible_share"
    DATA_TOO_SHORT = "data_too_short"
    DATA_TOO_LONG = "data_too_long"
    DATA_LOW_ALPHABETIC = "data_low_alphabetic"
    TOO_MANY_LINES = "too_many_lines"
    NO_DOCUMENTATION = "no_documentation"


@dataclass(frozen=True, kw_only=True)
class CodeFormats(Filter):
    """Drops files by rules of their format; a measure of another format than the file's is null, which breaks none."""

    name: ClassVar[str] = "code_formats"
    reasons: ClassVar[type[StrEnum]] = Reason
    judged_fields: ClassVar[frozenset[str]] = frozenset({"drop_xml", "text_is_documentation"})
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("language", pa.string()),  # code_languages.language_of; null where it is not told
            pa.field("xml_declaration", pa.int32()),  # 1 if there is one; null in XSLT
            pa.field("visible_characters", pa.int32()),  # of HTML
            pa.field("visible_share", pa.float64()),  # of HTML; of all characters
            pa.field("data_characters", pa.int32()),  # of JSON and YAML
            pa.field("data_alphabetic_share", pa.float64()),  # of JSON and YAML; of all characters
            pa.field("listing_lines", pa.int32()),  # of Text, JSON, YAML, Web Ontology Language, Graphviz
            pa.field("documentation", pa.int32()),  # of Text: 1 if its name is like that of documentation, else 0
        ]
    )

    drop_xml: bool = True
    """Whether files with an XML declaration go (StarCoder)."""
    min_visible_characters: int | None = 100
    """Characters of visible text of HTML (StarCoder)."""
    min_visible_share: float | None = 0.2
    """Share of visible text in HTML (StarCoder)."""
    min_data_characters: int | None = 50
    """Characters of JSON and YAML (StarCoder)."""
    max_data_characters: int | None = 5000
    """Characters of JSON and YAML (StarCoder)."""
    min_data_alphabetic: float | None = 0.5
    """Share of letters in JSON and YAML (StarCoder)."""
    max_listing_lines: int | None = 512
    """Lines of Text, JSON, YAML, Web Ontology Language and Graphviz (The Stack v2)."""
    text_is_documentation: bool = True
    """Whether Text goes whose name is not like that of documentation (The Stack v2)."""

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.XML, "xml_declaration", at_most=0 if self.drop_xml else None),
            Rule(Reason.LITTLE_VISIBLE_TEXT, "visible_characters", at_least=self.min_visible_characters),
            Rule(Reason.LOW_VISIBLE_SHARE, "visible_share", at_least=self.min_visible_share),
            Rule(Reason.DATA_TOO_SHORT, "data_characters", at_least=self.min_data_characters),
            Rule(Reason.DATA_TOO_LONG, "data_characters", at_most=self.max_data_characters),
            Rule(Reason.DATA_LOW_ALPHABETIC, "data_alphabetic_share", at_least=self.min_data_alphabetic),
            Rule(Reason.TOO_MANY_LINES, "listing_lines", at_most=self.max_listing_lines),
            Rule(Reason.NO_DOCUMENTATION, "documentation", at_least=1 if self.text_is_documentation else None),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        languages = programming_languages(batch)
        found = line_measures(batch)
        html, data = among(languages, ("HTML",)), among(languages, ("JSON", "YAML"))
        listing = data | among(languages, ("Text", "Web Ontology Language", "Graphviz (DOT)"))
        prose, sheet = among(languages, ("Text",)), among(languages, ("XSLT",))
        visible = np.zeros(len(batch), np.int32)
        count_visible(batch.offsets, batch.text, frozen(html), visible)
        declared = pc.match_substring_regex(batch.texts, _XML).cast(pa.int32())
        names = pa.array([name.rpartition("/")[2].lower() for name in file_names(batch)], pa.string())
        documentation = pc.match_substring_regex(names, DOCUMENTATION).cast(pa.int32())
        whole = np.maximum(found.characters, 1)
        columns = [
            languages,
            pc.if_else(pa.array(sheet), pa.scalar(None, pa.int32()), declared),
            pa.array(visible, mask=~html),
            pa.array(visible / whole, mask=~html | (found.characters == 0)),
            pa.array(found.characters, mask=~data),
            pa.array(found.alphabetic / whole, mask=~data | (found.characters == 0)),
            pa.array(found.lines, mask=~listing),
            pc.if_else(pa.array(prose), documentation, pa.scalar(None, pa.int32())),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)


@kernel
def count_visible(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], html: NDArray[np.bool_], visible: NDArray[np.int32]
) -> None:
    """Characters outside of tags, comments, scripts and styles, those of white space in a row as one."""
    for document in range(offsets.shape[0] - 1):
        if not html[document]:
            continue
        position, end = offsets[document], offsets[document + 1]
        count = 0
        blank = True  # what comes before is white space, or the beginning
        while position < end:
            byte = text[position]
            if byte == 0x3C:
                after = after_tag(text, position, end)
                if after > position:
                    position = after
                    continue
            if byte <= 0x20:
                count += not blank
                blank = True
            elif byte & 0xC0 != 0x80:
                count += 1
                blank = False
            position += 1
        visible[document] = count - (blank and count > 0)


@kernel
def after_tag(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Where the tag, comment, script or style that begins with the `<` at `position` ends; `position` if none does."""
    if position + 1 == end:
        return position
    following = text[position + 1]
    if following == 0x21 and position + 3 < end and text[position + 2] == 0x2D and text[position + 3] == 0x2D:
        place = position + 4
        while place + 2 < end:
            if text[place] == 0x2D and text[place + 1] == 0x2D and text[place + 2] == 0x3E:
                return place + 3
            place += 1
        return end
    letter = following | 0x20
    if not (0x61 <= letter <= 0x7A or following == 0x2F or following == 0x21 or following == 0x3F):
        return position
    place = position + 1
    while place < end and text[place] != 0x3E:
        place += 1
    place = min(place + 1, end)
    script, style = is_tag(text, position, end, True), is_tag(text, position, end, False)
    if not (script or style):
        return place
    while place < end:
        if text[place] == 0x3C and place + 1 < end and text[place + 1] == 0x2F and is_tag(text, place + 1, end, script):
            return place
        place += 1
    return end


@inlined
def is_tag(text: NDArray[np.uint8], position: int, end: int, script: bool) -> bool:
    """Whether `script`, or else `style`, stands behind the byte at `position`, in upper or lower case."""
    name = (0x73, 0x63, 0x72, 0x69, 0x70, 0x74) if script else (0x73, 0x74, 0x79, 0x6C, 0x65, 0x65)
    size = 6 if script else 5
    if position + size >= end:
        return False
    same = 0
    while same < size and text[position + 1 + same] | 0x20 == name[same]:
        same += 1
    return same == size
