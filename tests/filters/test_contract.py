"""What the contract of filters promises of each of them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator

import pytest

from corpusmill.filters.contract import Filter
from corpusmill.pipeline import registry


def attributes_read(kind: type, method: str, seen: set[str]) -> Iterator[str]:
    """The attributes of `self` that a method reads, and those that the methods and properties it uses read."""
    found = inspect.getattr_static(kind, method, None)
    function = getattr(found, "fget", None) or getattr(found, "func", None) or found
    if method in seen or not inspect.isfunction(function):
        return
    seen.add(method)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            yield node.attr
            yield from attributes_read(kind, node.attr, seen)


@pytest.mark.parametrize("name", [*registry.FILTERS])
def test_what_measures_depend_on_is_no_threshold(name):
    kind: type[Filter] = registry.stage_class(name)
    read = set(attributes_read(kind, "measure", set()))
    judged = {item.name for item in dataclasses.fields(kind) if kind.is_judged(item.name)}
    assert not read & judged, "declare them in measured_fields: a change of them needs the texts again"


@pytest.mark.parametrize("name", [*registry.FILTERS])
def test_fields_declared_as_judged_or_measured_exist(name):
    kind: type[Filter] = registry.stage_class(name)
    fields = {item.name for item in dataclasses.fields(kind)}
    assert kind.judged_fields <= fields
    assert kind.measured_fields <= fields
