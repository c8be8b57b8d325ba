"""Reader `code`: a source file is a document; its language is told by its name.

`metadata` holds `path` and `programming_language`, a name of GitHub Linguist's list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from corpusmill.pipeline.sources.contract import SourceFile
from corpusmill.pipeline.sources.text import WholeFile

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
"""How files of each language end; what begins without a dot is a whole name. Where languages share an ending (`.h`,
`.m`, `.v`, `.pro`), the one with more public code has it."""

_BY_ENDING = {ending: language for language, endings in LANGUAGES.items() for ending in endings.split()}
_BINARY_HEAD_BYTES = 8_000  # git looks for a NUL in as many


def language_of(name: str) -> str | None:
    """The programming language of a file, by its name.

    >>> language_of("src/Main.hs"), language_of("CMakeLists.txt"), language_of("notes.txt")
    ('Haskell', 'CMake', None)
    """
    name = name.rsplit("/", 1)[-1].lower()
    return _BY_ENDING.get(name) or _BY_ENDING.get(f".{name.rpartition('.')[2]}" if "." in name else "")


@dataclass(frozen=True, kw_only=True)
class Code(WholeFile):
    """Documents of source files."""

    kind: ClassVar[str] = "code"
    suffixes: ClassVar[tuple[str, ...]] = tuple(sorted(_BY_ENDING))

    def _unfit(self, content: bytes) -> str | None:
        nul = content.find(b"\0", 0, _BINARY_HEAD_BYTES)
        return None if nul < 0 else f"a NUL at byte {nul}"

    def _metadata(self, source: SourceFile) -> dict[str, str]:
        metadata = {"path": source.name}
        if (language := language_of(source.name)) is not None:
            metadata["programming_language"] = language
        return metadata
