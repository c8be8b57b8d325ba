"""Programming languages: cases of the stage, and the signs that tell languages of one ending apart."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.code_language import CodeLanguage, Reason
from corpusmill.filters.code_languages import _SIGNS, FORMATS, LANGUAGES, NAMES, language_of

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, stage_of, verdicts_of

CASES = cases("code_language")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    assert verdicts_of(stage_of(CodeLanguage, case), document_of(case)) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


SHARED = [
    ("a.h", "Objective-C", "#import <UIKit/UIKit.h>\n@interface A : B\n@end\n"),
    ("a.h", "C++", "#include <vector>\nvoid a(int);\n"),
    ("a.h", "C++", "template <typename T>\nT a(T);\n"),
    ("a.h", "C++", "int a(std::size_t b);\n"),
    ("a.h", "C", "#include <stdio.h>\nstruct class_info { int a; };\nint a(void);\n"),
    ("a.m", "Objective-C", '#import "A.h"\n@implementation A\n@end\n'),
    ("a.m", "MATLAB", "function y = f(x)\n  y = x + 1;\nend\n"),
    ("a.m", "MATLAB", "% roots of a polynomial\nr = roots(p);\n"),
    ("a.m", "Mathematica", "(* ::Package:: *)\nf[x_] := x^2\n"),
    ("a.v", "Verilog", "`timescale 1ns/1ps\nmodule a(input b);\nendmodule\n"),
    ("a.v", "Coq", "Require Import List.\nLemma a : True.\nProof. exact I. Qed.\n"),
    ("a.pl", "Perl", "use strict;\nmy $a = 1;\n"),
    ("a.pl", "Prolog", "parent(a, b).\nchild(X, Y) :- parent(Y, X).\n"),
    ("a.pro", "QMake", "QT += core\nSOURCES = main.cpp\n"),
    ("a.ts", "XML", '<?xml version="1.0"?>\n<!DOCTYPE TS>\n'),
    ("a.ts", "TypeScript", "export const a: number = 1;\n"),
    ("a.fs", "F#", "module A\nlet b = 1\n"),
    ("a.fs", "GLSL", "#version 330\nvoid main() {}\n"),
    ("a.d", "Makefile", "a.o: a.c a.h\n"),
    ("a.d", "D", "import std.stdio;\nvoid main() {}\n"),
    ("a.cls", "TeX", "\\NeedsTeXFormat{LaTeX2e}\n"),
    ("a.cls", "Apex", "public with sharing class A {\n}\n"),
    ("a.pp", "Puppet", "class ntp {\n}\n"),
    ("a.pp", "Pascal", "unit a;\ninterface\n"),
    ("a.cl", "OpenCL", "__kernel void a(__global int *b) {}\n"),
    ("a.cl", "Common Lisp", "(defun a (b) b)\n"),
    ("run", "Shell", "#!/bin/sh\n"),
    ("run", "Python", "#!/usr/bin/python2.7\n"),
    ("run", "Perl", "#! /usr/bin/perl -w\n"),
    ("run", "JavaScript", "#!/usr/bin/env FOO=1 node\n"),
    ("run", None, "no sign at all"),
    ("run", None, "#!"),
]


@pytest.mark.parametrize(("name", "language", "text"), SHARED)
def test_content_tells_what_names_do_not(name: str, language: str | None, text: str) -> None:
    assert language_of(name, text) == language


def test_every_language_with_a_sign_can_be_told_by_it() -> None:
    told = {(f".{name.partition('.')[2]}", language) for name, language, _ in SHARED}
    signed = {(ending, language) for ending, signs in _SIGNS.items() for language, _ in signs}
    assert signed - told <= {(".pro", "Prolog"), (".pro", "IDL"), (".fs", "Forth"), (".cls", "Visual Basic")}
    assert language_of("a.pro", "pro plot_it, x\nend\n") == "IDL"
    assert language_of("a.pro", ":- use_module(library(lists)).\n") == "Prolog"
    assert language_of("a.fs", ": square dup * ;\n") == "Forth"
    assert language_of("a.cls", "VERSION 1.0 CLASS\n") == "Visual Basic"


def test_no_ending_has_two_first_languages() -> None:
    endings = [ending for group in (LANGUAGES | FORMATS).values() for ending in group.split()]
    assert len(endings) == len(set(endings))


def test_an_unknown_language_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match='"python" is no language known here; did you mean "Python"'):
        CodeLanguage(keep=("python",))
    assert {"C++", "MATLAB", "AppleScript", "JSON"} <= NAMES


@pytest.mark.parametrize("metadata", ["[1]", "{", "null", '{"path": 3}', "[" * 100_000])
def test_metadata_of_another_make_tells_nothing(metadata: str) -> None:
    batch = TextBatch.of_texts(["x"]).with_column("metadata", pa.array([metadata], pa.string()))
    assert verdicts_of(CodeLanguage(), batch) == ["unknown"]


@pytest.mark.parametrize(
    "text", ["class x " * 3000, "a(" * 10_000, "a(\n" * 10_000, " " * 20_000, "#!" + "env -a " * 9000]
)
def test_hostile_content_is_looked_at_for_a_short_time(text: str) -> None:
    start = time.process_time()
    for ending in _SIGNS:
        language_of(f"a{ending}", text)
    language_of("a", text)
    assert time.process_time() - start < 2
