"""A folder that pyproject.toml forgets is left out of the wheel without a word; these tests say it."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = ("documents", "filters", "dedup", "mix", "scaling", "pipeline")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def folders_with_code():
    for floor in FLOORS:
        for init in (ROOT / floor).rglob("__init__.py"):
            yield init.parent.relative_to(ROOT).as_posix()


def test_every_package_folder_is_listed_and_mapped():
    listed = PROJECT["tool"]["setuptools"]["package-dir"]
    assert set(listed.values()) == set(folders_with_code())
    assert set(listed) == set(PROJECT["tool"]["setuptools"]["packages"])
    assert all(name == "corpusmill." + folder.replace("/", ".") for name, folder in listed.items())


def test_every_data_file_of_a_package_is_covered_by_its_patterns():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for name, folder in PROJECT["tool"]["setuptools"]["package-dir"].items():
        covered = {path for pattern in patterns.get(name, ()) for path in (ROOT / folder).glob(pattern)}
        data = {path for path in (ROOT / folder).iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert data <= covered, f"{name}: {sorted(str(path) for path in data - covered)}"


def test_links_for_type_checkers_lead_to_every_floor():
    for floor in FLOORS:
        assert (ROOT / ".typing" / "corpusmill" / floor).resolve() == ROOT / floor


def test_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    for line in lines:
        name, _, version = line.partition("==")
        assert name, line
        assert version.replace(".", "").replace("post", "").isalnum(), line


def test_every_requirement_is_pinned_in_the_constraints():
    import re

    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    missing = {re.split(r"[<>=\[]", item)[0].lower() for item in wanted} - pinned
    assert not missing
