"""The published recipes say what their papers say, and their stages fit together."""

from __future__ import annotations

import dataclasses

import pytest

from corpusmill.filters.c4 import LineRules
from corpusmill.pipeline.recipe import StageSpec, published_stages


@pytest.mark.parametrize("name", ["fineweb", "c4"])
def test_c4_judges_documents_by_the_line_rules_that_will_edit_them(name: str) -> None:
    stages = {
        stage: StageSpec(stage, stage, options, place).build()
        for stage, options, place in published_stages(name, "test")
    }
    judge, editor = stages["c4"], stages["c4_lines"]
    for rule in dataclasses.fields(LineRules):
        assert getattr(judge, rule.name) == getattr(editor, rule.name), rule.name
