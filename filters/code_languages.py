"""Which programming language a file is in: by its name, by its first line, and by its content where names are shared.

Names and endings are those of GitHub Linguist's list (facts, not its code). Where several languages share an ending
(`.h`, `.m`, `.v`, `.pl` …) signs of each in the first 20,000 characters decide, and where there are none, the language
with more public code has it. A file whose name tells nothing is told by its `#!` line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch

LANGUAGES = {
    "Ada": ".adb .ads",
    "Assembly": ".asm .s",
    "Awk": ".awk",
    "C": ".c .h",
    "C#": ".cs",
    "C++": ".cc .cpp .cxx .hh .hpp .hxx .ipp",
    "CMake": ".cmake cmakelists.txt",
    "CSS": ".css",
    "Clojure": ".clj .cljs .cljc .edn",
    "CoffeeScript": ".coffee",
    "Common Lisp": ".lisp .cl",
    "Crystal": ".cr",
    "Cuda": ".cu .cuh",
    "Cython": ".pyx .pxd",
    "D": ".d",
    "Dart": ".dart",
    "Dockerfile": ".dockerfile dockerfile",
    "Elixir": ".ex .exs",
    "Elm": ".elm",
    "Emacs Lisp": ".el",
    "Erlang": ".erl .hrl",
    "F#": ".fs .fsi .fsx",
    "Fortran": ".f .f90 .f95 .f03 .for",
    "GLSL": ".glsl .vert .frag",
    "Go": ".go",
    "GraphQL": ".graphql .gql",
    "Groovy": ".groovy .gradle",
    "HCL": ".tf .hcl",
    "HTML": ".html .htm .xhtml",
    "Haskell": ".hs .lhs",
    "Java": ".java",
    "JavaScript": ".js .mjs .cjs .jsx",
    "Julia": ".jl",
    "Kotlin": ".kt .kts",
    "Lean": ".lean",
    "Lua": ".lua",
    "Makefile": ".mk makefile gnumakefile",
    "Meson": "meson.build",
    "Nim": ".nim",
    "Nix": ".nix",
    "OCaml": ".ml .mli",
    "Objective-C": ".m .mm",
    "PHP": ".php",
    "Pascal": ".pas .pp",
    "Perl": ".pl .pm",
    "PowerShell": ".ps1 .psm1",
    "Prolog": ".pro .prolog",
    "Protocol Buffer": ".proto",
    "Python": ".py .pyi",
    "R": ".r",
    "Racket": ".rkt",
    "Ruby": ".rb .rake rakefile gemfile",
    "Rust": ".rs",
    "SQL": ".sql",
    "Scala": ".scala .sc",
    "Scheme": ".scm .ss",
    "Shell": ".sh .bash .zsh",
    "Solidity": ".sol",
    "Starlark": ".bzl .bazel",
    "Swift": ".swift",
    "SystemVerilog": ".sv .svh",
    "Tcl": ".tcl",
    "TypeScript": ".ts .tsx .mts .cts",
    "VHDL": ".vhd .vhdl",
    "Verilog": ".v .vh",
    "Vim Script": ".vim",
    "Vue": ".vue",
    "Zig": ".zig",
}
"""How files of each programming language end; what begins without a dot is a whole name. The `code` reader takes
these."""

FORMATS = {
    "AsciiDoc": ".adoc .asciidoc",
    "BibTeX": ".bib",
    "CSV": ".csv",
    "Diff": ".diff .patch",
    "Graphviz (DOT)": ".dot .gv",
    "INI": ".ini .cfg .properties",
    "JSON": ".json .jsonl .geojson .webmanifest",
    "JSON5": ".json5 .jsonc",
    "Jupyter Notebook": ".ipynb",
    "Markdown": ".md .markdown",
    "Org": ".org",
    "Roff": ".man .1 .2 .3 .4 .5 .6 .7 .8",
    "SMT": ".smt .smt2",
    "SVG": ".svg",
    "TeX": ".tex .latex .sty .cls .ltx",
    "TOML": ".toml",
    "Text": ".txt .text",
    "Web Ontology Language": ".owl",
    "XML": ".xml .xsd .wsdl .plist .csproj .vcxproj .xaml .resx .rdf",
    "XSLT": ".xsl .xslt",
    "YAML": ".yaml .yml",
    "reStructuredText": ".rst",
}
"""The same for data, markup and prose: rules for them are others."""

INTERPRETERS = {
    "ash": "Shell", "awk": "Awk", "bash": "Shell", "dash": "Shell", "deno": "TypeScript", "fish": "Shell",
    "gawk": "Awk", "groovy": "Groovy", "guile": "Scheme", "julia": "Julia", "ksh": "Shell", "lua": "Lua",
    "luajit": "Lua", "make": "Makefile", "mawk": "Awk", "node": "JavaScript", "nodejs": "JavaScript", "ocaml": "OCaml",
    "osascript": "AppleScript", "perl": "Perl", "php": "PHP", "pwsh": "PowerShell", "pypy": "Python",
    "python": "Python", "racket": "Racket", "rscript": "R", "ruby": "Ruby", "runghc": "Haskell",
    "runhaskell": "Haskell", "sbcl": "Common Lisp", "scala": "Scala", "sh": "Shell", "swipl": "Prolog",
    "tclsh": "Tcl", "wish": "Tcl", "zsh": "Shell",
}  # fmt: skip
"""What `#!` calls, without path and version, in lower case."""

_SIGNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    ".h": (
        ("Objective-C", r"^[ \t]*(?:@(?:interface|protocol|property|class|end)\b|#[ \t]*import\b)"),
        (
            "C++",
            r"^[ \t]*(?:class[ \t]+\w+[^;\n]{0,200}$|namespace\b|template[ \t]*<|using[ \t]+\w"
            r"|(?:public|private|protected)[ \t]*:|#[ \t]*include[ \t]*<"
            r"(?:iostream|string|vector|map|set|memory|algorithm|functional|utility|c[a-z]{4,8})>)"
            r"|\bstd::",
        ),
    ),
    ".m": (
        (
            "Objective-C",
            r"^[ \t]*(?:@(?:interface|implementation|protocol|property|end|import)\b|#[ \t]*(?:import|include)\b)",
        ),
        ("Mathematica", r"^[ \t]*(?:\(\*|Begin(?:Package)?\[|Needs\[)"),
        ("MATLAB", r"^[ \t]*(?:function\b|classdef\b|%|end\b|clear\b|clc\b|figure\b)"),
    ),
    ".v": (
        ("Coq", r"^[ \t]*(?:Require|Theorem|Lemma|Proof|Qed|Definition|Inductive|Fixpoint)\b"),
        ("Verilog", r"^[ \t]*(?:module|endmodule|`timescale|always)\b"),
    ),
    ".pl": (
        ("Perl", r"^[ \t]*(?:use[ \t]+[\w:]+|my[ \t]*[$@%(]|sub[ \t]+\w+|package[ \t]+[\w:]+|#!.*perl)"),
        ("Prolog", r"^(?::-|[a-z]\w*(?:\([^)\n]{0,200}\))?[ \t]*:-)"),
    ),
    ".pro": (
        ("Prolog", r"^(?::-|[a-z]\w*(?:\([^)\n]{0,200}\))?[ \t]*:-)"),
        ("QMake", r"^[ \t]*(?:QT|CONFIG|SOURCES|HEADERS|TARGET|TEMPLATE)[ \t]*[+*]?="),
        ("IDL", r"(?i)^[ \t]*(?:pro|function)[ \t]+\w+[ \t]*,?"),
    ),
    ".ts": (("XML", r"\A\s*<\?xml|^[ \t]*<!DOCTYPE TS"),),
    ".fs": (
        ("GLSL", r"^[ \t]*(?:#version|uniform|varying|precision|void main)\b"),
        ("Forth", r"^: \S+"),
        ("F#", r"^[ \t]*(?:module|namespace|open|let|type)\b"),
    ),
    ".d": (
        ("Makefile", r"\A[^\n]*\.o[ \t]*:"),
        ("D", r"^[ \t]*(?:module|import)\b[^\n]*;"),
    ),
    ".cls": (
        ("TeX", r"^[ \t]*(?:%|\\(?:NeedsTeXFormat|ProvidesClass))"),
        ("Visual Basic", r"^VERSION \d|^Attribute VB_"),
        ("Apex", r"(?i)^[ \t]*(?:public|private|global)\b[^\n]*\bclass\b"),
    ),
    ".pp": (
        ("Puppet", r"^[ \t]*(?:class[ \t]+[\w:]+[ \t]*[({]|node\b|define\b|include\b)"),
        ("Pascal", r"(?i)^[ \t]*(?:unit|program|uses|interface|begin)\b"),
    ),
    ".cl": (
        ("OpenCL", r"^[ \t]*(?:__kernel|kernel)\b|\b__global\b"),
        ("Common Lisp", r"^[ \t]*\("),
    ),
}  # fmt: skip
"""For an ending that languages share: each language's sign, as a pattern; the first that is met decides."""

_PATTERNS = {
    ending: [(language, re.compile(sign, re.MULTILINE)) for language, sign in signs] for ending, signs in _SIGNS.items()
}
_BY_ENDING = {ending: language for language, endings in (FORMATS | LANGUAGES).items() for ending in endings.split()}
_SIGNED = {language for signs in _SIGNS.values() for language, _ in signs}
NAMES = frozenset({*LANGUAGES, *FORMATS, *INTERPRETERS.values(), *_SIGNED})
"""Every language that may be told."""
_SHEBANG = re.compile(r"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+)*(?:\w+=\S*[ \t]+)*)?(?:\S*/)?([A-Za-z]+)")
_HEAD_CHARACTERS = 20_000
_PATH_KEYS = ("path", "max_stars_repo_path", "file_path", "file_name", "filename")
"""Members of `metadata` that hold a file's name, the first that is there: those of our reader and of The Stack."""


def language_of(name: str, text: str = "") -> str | None:
    """The programming language, or format, of a file by its name and, where that does not settle it, its text.

    >>> language_of("src/Main.hs"), language_of("CMakeLists.txt"), language_of("notes")
    ('Haskell', 'CMake', None)
    >>> language_of("shape.h", "class Shape {\\n public:\\n"), language_of("tool", "#!/usr/bin/env python3\\n")
    ('C++', 'Python')
    """
    ending = _ending(name)
    for language, pattern in _PATTERNS.get(ending, ()):
        if pattern.search(text, 0, _HEAD_CHARACTERS):
            return language
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    shebang = _SHEBANG.match(text, 0, 200)
    return INTERPRETERS.get(shebang.group(1).lower()) if shebang else None


def programming_languages(batch: TextBatch) -> pa.StringArray:
    """The language of each document by `language_of`, null where it is not told: found once a batch.

    The file's name is that of the metadata (`path`, or what The Stack calls it), or else the URL's.
    """
    if "programming_languages" not in batch.cache:
        names = file_names(batch)
        languages: list[str | None] = []
        starts = pc.starts_with(batch.texts, "#!").to_numpy(zero_copy_only=False)
        for row, name in enumerate(names):
            ending = _ending(name)
            if ending in _PATTERNS or (ending not in _BY_ENDING and starts[row]):
                languages.append(language_of(name, head_of(batch, row, _HEAD_CHARACTERS)))
            else:
                languages.append(_BY_ENDING.get(ending))
        batch.cache["programming_languages"] = pa.array(languages, pa.string())
    return batch.cache["programming_languages"]


def among(languages: pa.StringArray, wanted: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool[documents]: whether the language is one of `wanted`; false where it is null."""
    found = pc.is_in(languages, pa.array(wanted, pa.string()), skip_nulls=True)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


def _ending(name: str) -> str:
    """The part of a name that tells the language: `.hs`, or a whole name such as `makefile`."""
    name = name.rsplit("/", 1)[-1].lower()
    if name in _BY_ENDING:
        return name
    return f".{name.rpartition('.')[2]}" if "." in name else ""


def file_names(batch: TextBatch) -> list[str]:
    """The name of each document's file, with its path where that is known; empty where there is none."""
    columns = batch.documents.column("metadata").to_pylist(), batch.documents.column("url").to_pylist()
    return [_name(metadata, url) for metadata, url in zip(*columns, strict=True)]


def _name(metadata: str | None, url: str | None) -> str:
    try:
        told = json.loads(metadata) if metadata else None
    except (ValueError, RecursionError):  # documents of another tool's making: no name, as where there is none
        told = None
    if isinstance(told, dict):
        for key in _PATH_KEYS:
            if isinstance(told.get(key), str):
                return str(told[key])
    return (url or "").partition("?")[0].partition("#")[0]


def head_of(batch: TextBatch, row: int, n_bytes: int) -> str:
    """The beginning of a text, without a copy of the whole of it."""
    start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
    return bytes(batch.text[start : min(end, start + n_bytes)]).decode("utf-8", "ignore")
