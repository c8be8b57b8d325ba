from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from corpusmill.documents.errors import RecipeError, UsageError
from corpusmill.pipeline.recipe import apply_override, build, load_recipe, parse_recipe

MINIMAL = {"name": "small", "sources": {"web": {"paths": ["*.jsonl"]}}}


def parse(**changes):
    return parse_recipe({**MINIMAL, **changes}, Path("/corpora"), "recipe.yaml")


def with_stages(*stages):
    return parse(sources={"web": {"paths": "x", "stages": list(stages)}})


def test_a_minimal_recipe_has_its_defaults():
    recipe = parse()
    assert (recipe.seed, recipe.runs, recipe.mix) == (0, Path("runs"), None)
    assert recipe.sources[0].stages == ()


@pytest.mark.parametrize("name", ["dataset", "mix", "report"])
def test_a_source_may_not_have_the_name_of_a_folder_that_every_run_has(name):
    with pytest.raises(RecipeError, match=rf"recipe.yaml: sources.{name}: a run has a folder of that name"):
        parse(sources={name: {"paths": "x"}})


def test_stages_are_names_or_names_with_options():
    recipe = with_stages("gopher_quality", {"gopher_quality": {"min_words": 20}}, {"pii": None})
    assert [spec.name for spec in recipe.sources[0].stages] == ["gopher_quality", "gopher_quality_2", "pii"]
    assert recipe.sources[0].stages[1].options == {"min_words": 20}


def test_a_published_recipe_stands_for_its_stages():
    names = [spec.name for spec in with_stages({"use": "fineweb"}).sources[0].stages]
    assert names == [
        "language", "gopher_repetition", "gopher_quality", "c4", "c4_lines", "fineweb_quality", "minhash_dedup", "pii",
    ]  # fmt: skip
    assert parse(sources={"web": {"paths": "x", "stages": "fineweb"}}).sources[0].stages[0].stage == "language"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sauces": {}}, 'recipe.yaml: unknown key "sauces"; did you mean "sources"?'),
        ({"name": "No Good"}, "recipe.yaml: name: 'No Good' must be lower-case"),
        ({"seed": "seven"}, "recipe.yaml: seed: must be a whole number, not 'seven'"),
        ({"seed": True}, "seed: must be a whole number, not True"),
        ({"split_bytes": 0}, "split_bytes: 0 must be at least 1"),
        ({"sources": {}}, "sources: names no source"),
        ({"sources": {"Web": {"paths": "x"}}}, "sources.Web: a source's name is lower-case"),
        ({"sources": {"web": ["x"]}}, "sources.web: must be a mapping with `paths` and `stages`"),
        ({"sources": {"web": {"path": "x"}}}, 'sources.web: unknown key "path"; did you mean "paths"?'),
        ({"sources": {"web": {"paths": []}}}, "sources.web.paths: must be a path, glob or URL"),
        ({"sources": {"web": {"paths": "x", "stages": ["gofer_quality"]}}},
         'sources.web.stages[0]: no stage is called "gofer_quality"; did you mean "gopher_quality"?'),
        ({"sources": {"web": {"paths": "x", "stages": [{"use": "fine_web"}]}}},
         'no published recipe is called "fine_web"; did you mean "fineweb"?'),
        ({"sources": {"web": {"paths": "x", "stages": [{"pii": 3}]}}}, "stages[0].pii: its options must be a mapping"),
        ({"sources": {"web": {"paths": "x", "stages": [{"pii": {}, "c4": {}}]}}}, "a stage is a name, or one name"),
        ({"mix": "web"}, "recipe.yaml: mix: must be a mapping"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_its_place_and_mend(changes, message):
    with pytest.raises(RecipeError) as caught:
        parse(**changes)
    assert message in str(caught.value)


def test_an_unknown_option_of_a_stage_is_refused_with_the_nearest():
    spec = with_stages({"gopher_quality": {"min_word": 20}}).sources[0].stages[0]
    with pytest.raises(
        RecipeError, match=r'stages\[0\].gopher_quality: unknown key "min_word"; did you mean "min_words"'
    ):
        spec.build()


def test_an_option_of_the_wrong_type_is_refused_with_its_value():
    spec = with_stages({"gopher_quality": {"min_words": "many"}}).sources[0].stages[0]
    with pytest.raises(RecipeError, match=r"gopher_quality.min_words: .*integer.*not 'many'"):
        spec.build()


def test_overrides_reach_through_mappings_indices_and_stage_names():
    data = yaml.safe_load("sources: {web: {paths: [a], stages: [language, {pii: {kinds: [email]}}]}}")
    apply_override(data, "sources.web.stages.language.min_score=0.8")
    apply_override(data, "sources.web.stages[1].pii.kinds=[ipv4]")
    apply_override(data, "mix.budget=1_000")
    apply_override(data, "sources.web.paths[0]=b")
    assert data["sources"]["web"]["stages"] == [{"language": {"min_score": 0.8}}, {"pii": {"kinds": ["ipv4"]}}]
    assert data["mix"] == {"budget": 1000}
    assert data["sources"]["web"]["paths"] == ["b"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sources.web", "write path.to.key=value"),
        ("sources.web.stages.langage.min_score=1", 'no stage of that name here; did you mean "language"?'),
        ("sources.web.stages[9].x=1", "there are 1 entries, counted from 0"),
        ("name.first=x", "there is no first to set"),
        ("name.first.letter=x", "there is nothing below this value"),
        ("name={", "the value is no YAML"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(override, message):
    data = {"name": "a", "sources": {"web": {"stages": ["language"]}}}
    with pytest.raises(UsageError) as caught:
        apply_override(data, override)
    assert message in str(caught.value)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: a\nname: b\n")
    with pytest.raises(RecipeError, match="the key 'name' stands twice"):
        load_recipe(path)


def test_python_tags_are_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(RecipeError, match="is no valid YAML"):
        load_recipe(path)


def test_a_missing_recipe_is_named_with_the_nearest_file(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: a\n")
    with pytest.raises(RecipeError, match=r"no such recipe; did you mean .*recipe.yaml\?"):
        load_recipe(tmp_path / "recipes.yaml")
    with pytest.raises(RecipeError, match="`corpusmill init` writes a recipe"):
        load_recipe(tmp_path / "nowhere" / "x.yaml")


def test_every_stage_of_the_table_can_be_imported_and_says_its_own_name():
    from corpusmill.pipeline import registry

    for name in registry.STAGES:
        assert registry.stage_class(name).name == name


def test_every_published_recipe_builds():
    from corpusmill.pipeline import registry

    for name in registry.PUBLISHED:
        for spec in with_stages({"use": name}).sources[0].stages:
            spec.build()


def test_required_fields_are_asked_for():
    from corpusmill.filters.combined_quality import CombinedQuality

    with pytest.raises(RecipeError, match="here: needs scores"):
        build(CombinedQuality, {}, "here")


def test_a_published_recipe_is_used_with_some_values_changed(tmp_path):
    used = {"use": {"recipe": "gopher", "with": {"gopher_quality": {"min_words": 7}}}}
    data = {"name": "x", "sources": {"web": {"paths": "a.jsonl", "stages": [used]}}}
    recipe = parse_recipe(data, tmp_path, "recipe.yaml")
    plain = parse_recipe(
        {**data, "sources": {"web": {"paths": "a.jsonl", "stages": "gopher"}}}, tmp_path, "recipe.yaml"
    )
    changed = {spec.name: spec.build() for spec in recipe.sources[0].stages}
    before = {spec.name: spec.build() for spec in plain.sources[0].stages}
    assert changed["gopher_quality"] == replace(before.pop("gopher_quality"), min_words=7)
    assert {name: stage for name, stage in changed.items() if name in before} == before


@pytest.mark.parametrize(
    ("used", "message"),
    [
        ({"recipe": "gopherr"}, 'no published recipe is called "gopherr"; did you mean "gopher"'),
        ({"recipe": "gopher", "wiht": {}}, 'unknown key "wiht"; did you mean "with"'),
        (
            {"recipe": "gopher", "with": {"gopher_qualty": {}}},
            'unknown key "gopher_qualty"; did you mean "gopher_quality"',
        ),
        ({"recipe": "gopher", "with": {"gopher_quality": 3}}, "must map stages to their changed values"),
        ({"with": {}}, 'no published recipe is called "None"'),
    ],
)
def test_a_change_of_a_published_recipe_is_checked(used, message, tmp_path):
    data = {"name": "x", "sources": {"web": {"paths": "a.jsonl", "stages": [{"use": used}]}}}
    with pytest.raises(RecipeError, match=message):
        parse_recipe(data, tmp_path, "recipe.yaml")


def test_a_threshold_that_is_no_number_is_refused():
    source = {"paths": "in.jsonl", "stages": [{"quality": {"min_score": float("nan")}}]}
    recipe = parse_recipe({"name": "x", "sources": {"web": source}}, Path("/corpora"), "r.yaml")
    with pytest.raises(RecipeError, match=r"stages\[0\]\.quality\.min_score: nan is no number; give one, or null"):
        recipe.sources[0].stages[0].build()


@pytest.mark.parametrize(("stage", "key"), [("minhash_dedup", "against"), ("language", "keep")])
def test_a_text_where_a_list_is_due_is_refused_with_the_list(stage, key):
    spec = with_stages({stage: {key: "../idx3"}}).sources[0].stages[0]
    with pytest.raises(RecipeError, match=rf"stages\[0\]\.{stage}\.{key}: use a list: \[\.\./idx3\]$"):
        spec.build()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_a_number_of_more_than_64_bits_is_refused(value):
    spec = with_stages({"minhash_dedup": {"ngram": value}}).sources[0].stages[0]
    with pytest.raises(RecipeError, match=rf"minhash_dedup\.ngram: {value} is beyond 64 bits; give a number from"):
        spec.build()
    assert with_stages({"minhash_dedup": {"ngram": 2**63 - 1}}).sources[0].stages[0].build().ngram == 2**63 - 1


def test_a_number_with_an_exponent_is_a_number(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: e1\nsources: {web: {paths: 1e3x}}\nsweep: {target_tokens: 2e12, epochs: -2.5E-1, sizes: [1_0e3, .5e3]}"
    )
    recipe = load_recipe(path, ["sweep.tokens=3e6", "name=e2"])
    assert recipe.sweep == {"target_tokens": 2e12, "epochs": -0.25, "sizes": [1e4, 500.0], "tokens": 3e6}
    assert (recipe.name, recipe.sources[0].paths) == ("e2", ("1e3x",))


def test_a_stage_s_options_are_replaced_by_its_name():
    data = {"sources": {"web": {"stages": ["pii", {"gopher_quality": {"min_words": 3, "max_words": 9}}]}}}
    apply_override(data, "sources.web.stages.gopher_quality={min_words: 5}")
    assert data["sources"]["web"]["stages"] == ["pii", {"gopher_quality": {"min_words": 5}}]
    with pytest.raises(UsageError, match='no stage of that name here; did you mean "gopher_quality"'):
        apply_override(data, "sources.web.stages.gopher_qualty={}")
