"""The one visible table of stages: the names that recipes use, and the classes behind them.

Adding a stage is one file, one row here, one file of cases. Classes are imported when a recipe names them, so that
`corpusmill --help` does not wait for numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

FILTERS = {
    "url": "corpusmill.filters.url:Url",
    "language": "corpusmill.filters.language:Language",
    "gopher_repetition": "corpusmill.filters.gopher_repetition:GopherRepetition",
    "gopher_quality": "corpusmill.filters.gopher_quality:GopherQuality",
    "c4": "corpusmill.filters.c4:C4",
    "c4_bad_words": "corpusmill.filters.c4_bad_words:C4BadWords",
    "fineweb_quality": "corpusmill.filters.fineweb_quality:FineWebQuality",
    "refinedweb": "corpusmill.filters.refinedweb_lines:RefinedWeb",
    "math_density": "corpusmill.filters.math_density:MathDensity",
    "language_thresholds": "corpusmill.filters.language_thresholds:LanguageThresholds",
    "redpajama_signals": "corpusmill.filters.redpajama:RedPajamaSignals",
    "ocr_noise": "corpusmill.filters.books:OcrNoise",
    "code_language": "corpusmill.filters.code_language:CodeLanguage",
    "code_license": "corpusmill.filters.code_license:CodeLicense",
    "code_formats": "corpusmill.filters.code_formats:CodeFormats",
    "code_lines": "corpusmill.filters.code_lines:CodeLines",
    "code_encoded": "corpusmill.filters.code_encoded:CodeEncoded",
    "quality": "corpusmill.filters.quality:Quality",
    "perplexity": "corpusmill.filters.perplexity:Perplexity",
    "toxicity": "corpusmill.filters.toxicity:Toxicity",
    "pii_count": "corpusmill.filters.pii_count:PiiCount",
    "datatrove_filter": "corpusmill.filters.datatrove_block:DatatroveFilter",
}
REWRITERS = {
    "c4_lines": "corpusmill.filters.c4:C4Lines",
    "refinedweb_lines": "corpusmill.filters.refinedweb_lines:RefinedWebLines",
    "mojibake": "corpusmill.filters.mojibake:Mojibake",
    "book_matter": "corpusmill.filters.books:BookMatter",
    "pii": "corpusmill.filters.pii:Pii",
    "datatrove_formatter": "corpusmill.filters.datatrove_block:DatatroveRewriter",
}
BARRIERS = {
    "decontamination": "corpusmill.filters.decontamination:Decontamination",
    "site_lines": "corpusmill.filters.site_lines:SiteLines",
    "exact_dedup": "corpusmill.dedup.exact:ExactDedup",
    "minhash_dedup": "corpusmill.dedup.minhash:MinHashDedup",
    "semantic_dedup": "corpusmill.dedup.semantic:SemanticDedup",
    "repeated_lines": "corpusmill.dedup.lines:RepeatedLines",
    "substring_dedup": "corpusmill.dedup.substrings:SubstringDedup",
    "combined_quality": "corpusmill.filters.combined_quality:CombinedQuality",
    "score_cut": "corpusmill.filters.score_cut:ScoreCut",
}
STAGES = FILTERS | REWRITERS | BARRIERS

PUBLISHED = ("fineweb", "gopher", "c4", "code", "math", "books", "dclm", "fineweb2", "redpajama", "refinedweb", "ccnet")
"""Recipes of papers, by name: files of stages in pipeline/recipes/."""


def stage_class(name: str) -> Any:
    """The class of a stage in the table.

    Raises:
        KeyError: if there is no such stage.
    """
    module, _, attribute = STAGES[name].partition(":")
    return getattr(import_module(module), attribute)
