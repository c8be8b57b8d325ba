"""The command: `corpusmill run recipe.yaml` and what belongs to it.

Results go to stdout, progress and errors to stderr. Exit codes: 0 ok, 1 failure, 2 usage or recipe, 3 finished with
failed tasks, 130 interrupted. What is heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from corpusmill.documents.errors import CorpusmillError, UsageError

app = typer.Typer(
    name="corpusmill",
    help="Curates raw corpora into pretraining datasets, and says what it removed and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
train = typer.Typer(help="Train the models that stages use.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(train, name="train")
urls = typer.Typer(help="Prepare lists of URLs for the stage `url`.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(urls, name="urls")
evaluate = typer.Typer(help="Evaluate trained models.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluate, name="evaluate")
dedup = typer.Typer(help="Ask indexes of duplicates.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(dedup, name="dedup")
tokenizer = typer.Typer(help="Train tokenizers and compare them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tokenizer, name="tokenizer")
sweep = typer.Typer(
    help="Find out how much of a run's documents is worth training on.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(sweep, name="sweep")


class _MixGroup(TyperGroup):
    """`corpusmill mix RECIPE` is `corpusmill mix dataset RECIPE`: what is no command goes to that one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["dataset", *args]
        return super().parse_args(ctx, args)


mixes = typer.Typer(
    cls=_MixGroup,
    help="Mix a dataset from a run that has ended (corpusmill mix RECIPE), or search for better ratios.",
    subcommand_metavar="RECIPE | COMMAND [ARGS]...",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(mixes, name="mix")

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", metavar="RECIPE")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change one value: path.to.key=value. Can be given more than once.", metavar="KEY=VALUE"
    ),
]
Runs = Annotated[
    Path | None, typer.Option(help="Where runs are written, instead of the recipe's `runs`.", metavar="FOLDER")
]
Workers = Annotated[int | None, typer.Option(help="Processes; default: one for each core.", metavar="NUMBER")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
CommentsFile = Annotated[Path, typer.Option("--csv", help="Judged comments, a CSV file with a header.")]
TextColumn = Annotated[str, typer.Option(help="The column of the comments.")]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--label-column", "--label", help="A column that says toxic; default: toxic. Repeatable: any of them."
    ),
]
PositiveValue = Annotated[str, typer.Option(help="What a label column holds for a toxic comment.")]

Command = TypeVar("Command", bound=Callable[..., Any])


class Engine(StrEnum):
    """What trains a quality classifier."""

    SKLEARN = "sklearn"
    FASTTEXT = "fasttext"


class Parting(StrEnum):
    """What an export keeps apart."""

    SOURCE = "source"
    COMPONENT = "component"


def answering(command: Command) -> Command:
    """Turns our errors and the user's Ctrl-C into a line on stderr and their exit code."""

    @functools.wraps(command)
    def answer(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except CorpusmillError as error:
            typer.echo(f"corpusmill: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except PermissionError as error:
            typer.echo(f"corpusmill: {error.filename}: may not be read or written by this user", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo("corpusmill: interrupted; run the same command again to go on", err=True)
            raise typer.Exit(130) from error

    return answer  # type: ignore[return-value]


@app.command()
@answering
def run(
    recipe: RecipeFile,
    workers: Workers = None,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe, or go on with it where it stopped."""
    import time

    from corpusmill.pipeline.progress import duration
    from corpusmill.pipeline.run import run_recipe
    from corpusmill.pipeline.summary import summary
    from corpusmill.pipeline.working import working

    loaded = _recipe(recipe, overrides, runs)
    began = time.monotonic()
    with working(workers) as (executor, progress):
        result = run_recipe(loaded, executor, progress)
    typer.echo(f"ended after {duration(time.monotonic() - began)}\n", err=True)
    if as_json:
        _print_json({"run": str(result.folder), **result.manifest})
    else:
        typer.echo(summary(result.manifest, result.folder, _width()))
    raise typer.Exit(result.exit_code)


@mixes.command("dataset")
@answering
def mix(
    recipe: RecipeFile,
    out: Annotated[
        Path | None, typer.Option(help="The dataset's folder; default: `dataset` in the run's.", metavar="FOLDER")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it would hold.")] = False,
    resume: Annotated[
        bool, typer.Option(help="Go on with what an interrupted mix left, or count and write everything anew.")
    ] = True,
    workers: Workers = None,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Mix a dataset from a run that has ended: other ratios, budgets or presets by --set, read nothing again."""
    from corpusmill.pipeline.run import mix_recipe
    from corpusmill.pipeline.summary import mix_summary
    from corpusmill.pipeline.working import working

    loaded = _recipe(recipe, overrides, runs)
    if dry_run:
        from corpusmill.pipeline.mix_command import plan_as_text, plan_mix

        planned = plan_mix(loaded)
        if as_json:
            _print_json(planned.as_dict())
        else:
            typer.echo(plan_as_text(planned))
        return
    with working(workers) as (executor, progress):
        result = mix_recipe(loaded, executor, progress, out, fresh=not resume)
    if as_json:
        _print_json({"run": str(result.folder), **result.manifest["mix"]} if "mix" in result.manifest else {})
    else:
        typer.echo(mix_summary(result.manifest, result.folder, _width()))
    raise typer.Exit(result.exit_code)


@mixes.command("search")
@answering
def search_for_a_mix(
    recipe: RecipeFile,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the recipe with the proposed ratios; beside RECIPE.", metavar="NEW_RECIPE"),
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Of the recipe's `sweep.proxies`; default: the first, or ngram.", metavar="NAME")
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(help="To train each run on; default: 2M, or less if the mix has less.", metavar="NUMBER"),
    ] = None,
    mixtures: Annotated[
        int | None, typer.Option(help="How many to run; default: 4 a component, and the prior.", metavar="NUMBER")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of the prior, and later of it and the proposal each.")] = 3,
    divergence: Annotated[
        float, typer.Option(help="What moving away from the prior must gain, in bits per byte a nat.", metavar="NUMBER")
    ] = 0.05,
    workers: Workers = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only prepare, and show the mixtures and the cost.")
    ] = False,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Search for better ratios: train proxies on mixtures around the recipe's, fit a law, propose, and try that."""
    from corpusmill.pipeline import search_command as command
    from corpusmill.pipeline.searching import as_data, run_search
    from corpusmill.pipeline.working import cores, working

    loaded = _recipe(recipe, overrides, runs)
    if out is not None:
        command.check_out(loaded, out)
    processes = cores() if workers is None else workers
    with working(workers) as (executor, progress):
        result = run_search(
            loaded,
            executor,
            progress,
            proxy=proxy,
            tokens=tokens,
            mixtures=mixtures,
            seeds=seeds,
            divergence=divergence,
            dry_run=dry_run,
            tell=lambda begun: progress.say(command.begun_as_text(begun, processes)),
        )
    if result is None:
        raise typer.Exit(3)
    if as_json:
        _print_json(as_data(result))
    else:
        typer.echo(command.search_as_text(result))
    if out is not None and result.proposal is not None:
        command.write_recipe(loaded, result, out)
        typer.echo(command.next_step(loaded, result, out), err=True)
    raise typer.Exit(result.exit_code)


SweepFile = Annotated[
    Path | None,
    typer.Option("--sweep", help="A YAML file with the sweep, instead of the recipe's `sweep`.", metavar="FILE"),
]


@sweep.command("run")
@answering
def run_a_sweep(
    recipe: RecipeFile,
    file: SweepFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only prepare, and tell what the grid costs.")] = False,
    workers: Workers = None,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Prune the pools of a run that has ended, train proxies on what is left, and tell what it was worth."""
    from corpusmill.pipeline.sweep_command import costs_as_text, result_as_data, result_as_text
    from corpusmill.pipeline.sweeping import run_sweep
    from corpusmill.pipeline.working import cores, working

    processes = cores() if workers is None else workers
    with working(workers) as (executor, progress):
        result = run_sweep(
            _recipe(recipe, overrides, runs),
            executor,
            progress,
            file=file,
            dry_run=dry_run,
            tell=lambda costs: progress.say(costs_as_text(costs, processes)),
        )
    if result is None:
        raise typer.Exit(3)
    if as_json:
        _print_json(result_as_data(result))
    elif result.ran:
        typer.echo(result_as_text(result, _width()))
    raise typer.Exit(result.exit_code)


@sweep.command("status")
@answering
def status_of_a_sweep(
    recipe: RecipeFile,
    file: SweepFile = None,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Show how many cells of a sweep are done."""
    from corpusmill.pipeline.sweep_command import status_as_text
    from corpusmill.pipeline.sweeping import sweep_status

    told = sweep_status(_recipe(recipe, overrides, runs), file)
    if as_json:
        cells = {name: {"done": done, "cells": asked} for name, (done, asked) in told.cells.items()}
        _print_json({"prepared": not told.missing, "proxies": cells, "other_cells": told.others})
    else:
        typer.echo(status_as_text(told))


@sweep.command("report")
@answering
def report_of_a_sweep(
    recipe: RecipeFile,
    file: SweepFile = None,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Analyse the cells of a sweep anew; write its plots and the run's report."""
    from corpusmill.pipeline.sweep_report import report_as_text, report_sweep, results_as_data

    results = report_sweep(_recipe(recipe, overrides, runs), file)
    if as_json:
        _print_json(results_as_data(results))
    else:
        typer.echo(report_as_text(results, _width()))


@app.command()
@answering
def plan(recipe: RecipeFile, overrides: Overrides = None, runs: Runs = None, as_json: AsJson = False) -> None:
    """Show what a run would read and do, and write nothing."""
    from corpusmill.pipeline.summary import plan_as_data, plan_as_text

    data = plan_as_data(_recipe(recipe, overrides, runs))
    if as_json:
        _print_json(data)
    else:
        typer.echo(plan_as_text(data, _width()))


@app.command()
@answering
def status(recipe: RecipeFile, overrides: Overrides = None, runs: Runs = None, as_json: AsJson = False) -> None:
    """Show which tasks of a recipe are done and which are left."""
    from corpusmill.pipeline.summary import status_as_data, status_as_text

    data = status_as_data(_recipe(recipe, overrides, runs))
    if as_json:
        _print_json(data)
    else:
        typer.echo(status_as_text(data))


@app.command()
@answering
def explain(
    document: Annotated[
        str, typer.Argument(help="A document's id, the beginning of one, or a URL.", metavar="DOCUMENT_ID")
    ],
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", help="The run's folder; default: the latest below ./runs that has it.", metavar="FOLDER"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a document's way through every stage, with what was measured and the thresholds in force."""
    from corpusmill.pipeline.explain import explain_as_text, explain_document, find_runs

    found = explain_document(document, [run_folder] if run_folder else find_runs(Path("runs")))
    if as_json:
        _print_json(found)
    else:
        typer.echo(explain_as_text(found))


@app.command()
@answering
def rejudge(
    run_folder: Annotated[Path, typer.Argument(help="A finished run's folder.", metavar="RUN")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A new threshold, SOURCE.STAGE.FIELD=VALUE; * is every source that has the stage. Repeatable.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Documents to show on each side of each threshold.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show what other thresholds would have done, from the ledger and without reading texts."""
    from corpusmill.pipeline.rejudge import rejudge as judge_again
    from corpusmill.pipeline.rejudge import rejudge_as_text

    told = judge_again(run_folder, changes or (), samples)
    if as_json:
        _print_json(told)
    else:
        typer.echo(rejudge_as_text(told))


@app.command()
@answering
def suggest(
    run_folder: Annotated[Path, typer.Argument(help="A finished run's folder.", metavar="RUN")],
    keep: Annotated[
        float, typer.Option(help="The share of the documents that each threshold alone would keep.", metavar="SHARE")
    ] = 0.98,
    sigma: Annotated[
        float | None,
        typer.Option(help="Propose so many standard deviations from the mean instead.", metavar="NUMBER"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose thresholds from how the measures of a run are spread, as lines for a recipe."""
    from corpusmill.pipeline.suggest import suggest as propose
    from corpusmill.pipeline.suggest import suggest_as_text

    told = propose(run_folder, keep=keep, sigma=sigma)
    if as_json:
        _print_json(told)
    else:
        typer.echo(suggest_as_text(told))


@app.command()
@answering
def schema() -> None:
    """Print the JSON schema of recipes, for editors."""
    from corpusmill.pipeline.schema import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


@app.command()
@answering
def presets(
    name: Annotated[str | None, typer.Argument(help="A preset, to see its source and its use.", metavar="NAME")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the published mixes that `mix.preset` knows."""
    from corpusmill.mix.presets import preset_as_text, presets_as_data, presets_as_text

    if as_json:
        _print_json(presets_as_data(name))
    else:
        typer.echo(presets_as_text() if name is None else preset_as_text(name))


@app.command()
@answering
def verify(
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder, or that of its stages.", metavar="DATASET")],
    tokenizer: Annotated[
        str | None,
        typer.Option(help="What counted its tokens: tokenizer.json or NAME=FILE; a sample is counted again."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read no texts and no checksums of shards.")] = False,
    near: Annotated[
        bool, typer.Option("--near-duplicates", help="Look for near-duplicates in two splits, too; reads texts again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that a dataset is what its manifest says: files, rows, ratios, splits, counts."""
    from corpusmill.mix.verify import verify as verified
    from corpusmill.pipeline.verify_command import verification_as_text

    told = verified(dataset, tokenizer=tokenizer, quick=quick, near=near)
    if as_json:
        _print_json([one.as_dict() for one in told])
    else:
        typer.echo(verification_as_text(told, _width()))
    raise typer.Exit(0 if all(one.ok for one in told) else 1)


@app.command()
@answering
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.", metavar="RECIPE")] = Path("recipe.yaml"),
) -> None:
    """Write a commented recipe to start from."""
    from importlib.resources import files

    from corpusmill.documents.shards import atomic_text

    if path.exists():
        raise UsageError(f"{path}: is there already; name another file, or move it away first")
    atomic_text(path, (files("corpusmill.pipeline.templates") / "recipe.yaml").read_text())
    typer.echo(f"wrote {path}; edit its paths, then: corpusmill plan {path}")


@app.command()
@answering
def score(
    dataset: Annotated[
        list[str],
        typer.Argument(
            help="A dataset of ours, or Parquet, JSONL, CSV or text files; folders; globs; URLs.", metavar="DATASET..."
        ),
    ],
    field: Annotated[str, typer.Option(help="The key or column that holds the text.")] = "text",
    count: Annotated[
        str | None,
        typer.Option(help="The column that counts tokens, or `bytes`; default: n_tokens or such.", metavar="COLUMN"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Report each value of this column; default: component or source.", metavar="COLUMN"),
    ] = None,
    split: Annotated[str, typer.Option(help="Of a dataset of ours.")] = "train",
    sample: Annotated[
        str | None,
        typer.Option(
            help="Documents to measure: a number, a share such as .1 or 10%, or all; default: 64 MB of text.",
            metavar="SAMPLE",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a dataset: the share of its tokens that are neither corrupted nor redundant, and what it loses to what."""
    from corpusmill.pipeline.score_command import score as score_dataset
    from corpusmill.pipeline.score_command import score_as_text

    told = score_dataset(dataset, field=field, count_column=count, by=by, split=split, sample=sample)
    if as_json:
        _print_json(told)
    else:
        typer.echo(score_as_text(told))


@app.command()
@answering
def budget(
    params: Annotated[str | None, typer.Option(help="Parameters of the model, such as 7B.", metavar="AMOUNT")] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Tokens to train on, repetitions included, such as 2T.", metavar="AMOUNT")
    ] = None,
    flops: Annotated[str | None, typer.Option(help="FLOPs of training, such as 1e22.", metavar="AMOUNT")] = None,
    loss: Annotated[float | None, typer.Option(help="Nats a token to reach.", metavar="NUMBER")] = None,
    inference_tokens: Annotated[
        str | None, typer.Option(help="Tokens that the model will read and write in its life.", metavar="AMOUNT")
    ] = None,
    unique_tokens: Annotated[
        str | None, typer.Option(help="Different tokens at hand, such as 500B.", metavar="AMOUNT")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Take these, and Q, from a dataset of ours.", metavar="FOLDER")
    ] = None,
    q: Annotated[float | None, typer.Option(help="Their quality Q, above 0 and up to 1.", metavar="NUMBER")] = None,
    epochs_max: Annotated[
        float | None, typer.Option(help="Passes over them that one would make; default: 4.", metavar="NUMBER")
    ] = None,
    constants: Annotated[
        str, typer.Option(help="Published constants: besiroglu, hoffmann, sardana, or both (the first two).")
    ] = "both",
    hardware: Annotated[
        str | None, typer.Option(help="What trains, such as h100, a100, mi300x or tpu-v5p.", metavar="NAME")
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="Share of its peak that is used; default: .4.", metavar="SHARE")
    ] = None,
    price: Annotated[
        float | None, typer.Option(help="Of one device for an hour, in any currency.", metavar="NUMBER")
    ] = None,
    gpus: Annotated[int | None, typer.Option(help="Devices side by side, to tell days.", metavar="NUMBER")] = None,
    pue: Annotated[
        float | None, typer.Option(help="Watts of the site for each watt of the devices; default: 1.2.")
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="A run whose sweeps say how much to keep.", metavar="FOLDER")
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Of that run's sweeps only this; default: all.", metavar="NAME")
    ] = None,
    as_table: Annotated[bool, typer.Option("--table", help="Show models of other sizes, too.")] = False,
    sizes: Annotated[
        str | None, typer.Option("--range", help="Of the table's sizes, such as 1B:100B.", metavar="FROM:TO")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which model and how many tokens a budget allows, whether the data suffices, and what it costs."""
    from corpusmill.pipeline.budget_command import Options
    from corpusmill.pipeline.budget_command import budget as answer
    from corpusmill.pipeline.budget_text import told_as_text

    told = answer(
        Options(
            params=params,
            tokens=tokens,
            flops=flops,
            loss=loss,
            inference_tokens=inference_tokens,
            unique_tokens=unique_tokens,
            dataset=dataset,
            q=q,
            epochs_max=epochs_max,
            constants=constants,
            hardware=hardware,
            utilisation=utilisation,
            price=price,
            gpus=gpus,
            pue=pue,
            run=run_folder,
            sweep=sweep,
            table=as_table,
            sizes=sizes,
        )
    )
    if as_json:
        _print_json(told.as_dict())
    else:
        typer.echo(told_as_text(told))


@app.command()
@answering
def export(
    dataset: Annotated[Path, typer.Argument(help="A finished dataset's folder.", metavar="DATASET")],
    to: Annotated[
        list[str],
        typer.Option(help="Formats, such as nanotron,megatron,olmo,jsonl. Repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="Where to write; each format has its own folder there.", metavar="FOLDER")],
    tokenizer: Annotated[
        str | None,
        typer.Option(help="A tokenizer.json, or NAME=FILE of tiktoken; for formats that hold tokens.", metavar="SPEC"),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only this split. Repeatable.", metavar="NAME")] = None,
    by: Annotated[Parting | None, typer.Option(help="Keep sources or components apart, with their weights.")] = None,
    workers: Workers = None,
    eos: Annotated[
        str | None, typer.Option(help="The token that ends a document; default: the tokenizer's own.", metavar="TOKEN")
    ] = None,
    sequence_length: Annotated[
        int, typer.Option(help="Of the trainer, for formats that are cut to it.", metavar="TOKENS")
    ] = 2048,
    as_json: AsJson = False,
) -> None:
    """Write a dataset as the files of other trainers, or go on with that, and show the lines to paste into them."""
    from corpusmill.pipeline.export_command import ExportOptions, export_as_text
    from corpusmill.pipeline.export_command import export as write_exports
    from corpusmill.pipeline.working import working

    options = ExportOptions(
        to=tuple(name.strip() for names in to for name in names.split(",")),
        out=out,
        tokenizer=tokenizer,
        splits=tuple(split or ()),
        by=None if by is None else "component" if by is Parting.COMPONENT else "source",
        eos=eos,
        sequence_length=sequence_length,
    )
    with working(workers) as (executor, progress):
        exported = write_exports(dataset, options, executor, progress)
    if as_json:
        _print_json(exported.formats)
    else:
        typer.echo(export_as_text(exported, out))
    raise typer.Exit(exported.exit_code)


@train.command("quality")
@answering
def train_quality(
    positive: Annotated[list[str], typer.Option(help="Texts to keep: JSONL, Parquet or text files; globs.")],
    negative: Annotated[list[str], typer.Option(help="Texts to drop.")],
    out: Annotated[Path, typer.Option(help="The model to write: .npz; with --engine fasttext .bin or .ftz.")],
    engine: Annotated[
        Engine, typer.Option(help="sklearn: a small linear model, calibrated; fasttext: a model of DCLM's settings.")
    ] = Engine.SKLEARN,
    field: Annotated[str, typer.Option(help="The key or column that holds the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Decides which texts are held out.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the quality classifier and say how well it tells held-out texts apart."""
    from corpusmill.filters.quality_training import train_quality as fit
    from corpusmill.filters.training_texts import training_texts
    from corpusmill.pipeline.summary import reliability_table

    if (out.suffix == ".npz") != (engine is Engine.SKLEARN):
        wanted = ".npz" if engine is Engine.SKLEARN else ".bin or .ftz"
        raise UsageError(f"{out}: the models of --engine {engine} are {wanted} files; name it so")
    texts = training_texts(positive, field=field), training_texts(negative, field=field)
    if engine is Engine.SKLEARN:
        linear = fit(*texts, seed=seed)
        auc, rows, digest, use = linear.auc, linear.reliability, linear.save(out), f"quality: {{model: {out}}}"
    else:
        from corpusmill.filters.fasttext_training import POSITIVE, train_fasttext

        trained = train_fasttext(*texts, out, seed=seed)
        auc, rows, digest = trained.auc, trained.reliability, trained.sha256
        use = f"quality: {{model: {out}, label: {POSITIVE}}}"
    if as_json:
        bins = [dataclasses.asdict(row) for row in rows]
        _print_json({"engine": engine, "roc_auc": auc, "reliability": bins, "model": str(out), "sha256": digest})
        return
    typer.echo(f"held-out ROC AUC {auc:.4f}\n{reliability_table(rows)}")
    typer.echo(f"wrote {out}, sha256 {digest}; use it as `{use}`")


@train.command("toxicity")
@answering
def train_toxicity(
    csv: CommentsFile,
    out: Annotated[Path, typer.Option(help="The model to write, a .npz file.")],
    text_column: TextColumn = "comment_text",
    label_columns: LabelColumns = None,
    positive_value: PositiveValue = "1",
    clean: Annotated[
        list[str] | None,
        typer.Option(help="Ordinary texts, learned as not toxic: JSONL, Parquet or text files; globs. Worth having."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the folds of the cross-validation.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the toxicity classifier, and say how well it tells comments apart that it has not seen."""
    from corpusmill.filters.toxicity_training import read_comments
    from corpusmill.filters.toxicity_training import train_toxicity as fit
    from corpusmill.filters.training_texts import training_texts

    labels = label_columns or ["toxic"]
    comments = read_comments(csv, text_column=text_column, label_columns=labels, positive_value=positive_value)
    trained = fit(comments, clean=training_texts(clean) if clean else (), seed=seed)
    digest = trained.save(out)
    if as_json:
        bins = [dataclasses.asdict(row) for row in trained.reliability]
        _print_json({"roc_auc": trained.auc, "reliability": bins, "model": str(out), "sha256": digest})
        return
    from corpusmill.pipeline.summary import reliability_table

    table = reliability_table(trained.reliability, "toxic")
    typer.echo(f"five-fold cross-validated ROC AUC {trained.auc:.4f}\n{table}")
    typer.echo(f"wrote {out}, sha256 {digest}")


@evaluate.command("toxicity")
@answering
def evaluate_toxicity(
    model: Annotated[Path, typer.Argument(help="A model made by `corpusmill train toxicity`.")],
    csv: CommentsFile,
    text_column: TextColumn = "comment_text",
    label_columns: LabelColumns = None,
    positive_value: PositiveValue = "1",
    threshold: Annotated[float, typer.Option(help="Probability from which a sentence is toxic.")] = 0.9,
    as_json: AsJson = False,
) -> None:
    """Say how well a model finds toxic comments, and how often it takes groups of people or medicine for toxic."""
    from corpusmill.filters.toxicity_model import ToxicityModel
    from corpusmill.filters.toxicity_training import evaluate_toxicity as judge
    from corpusmill.filters.toxicity_training import evaluation_text, read_comments

    if not 0 <= threshold <= 1:
        raise UsageError(f"--threshold: {threshold} is not between 0 and 1")
    labels = label_columns or ["toxic"]
    loaded = ToxicityModel.load(model)
    comments = read_comments(csv, text_column=text_column, label_columns=labels, positive_value=positive_value)
    found = judge(loaded, comments, threshold=threshold)
    if as_json:
        _print_json(found.as_dict())
    else:
        typer.echo(evaluation_text(found))


@urls.command("build")
@answering
def build_urls(
    lists: Annotated[
        list[str],
        typer.Argument(
            help="Files of domains, URLs or hosts, or folders in UT1's layout. A file's category is its name without "
            "its suffix, a folder's its own; CATEGORY=PATH gives another.",
            metavar="LISTS...",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The index to write.")],
    suffixes: Annotated[
        Path | None, typer.Option(help="A public suffix list; default: that of the package publicsuffixlist.")
    ] = None,
    private_suffixes: Annotated[
        bool, typer.Option(help="Names that companies give away (blogspot.com) are public suffixes, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make one index of lists of domains and URLs, which all workers share."""
    from corpusmill.filters.public_suffixes import packaged_list, read_public_suffixes
    from corpusmill.filters.url_lists import build_index, find_lists, reports_text

    rules = read_public_suffixes(suffixes or packaged_list(), private=private_suffixes)
    built = build_index(find_lists(lists), rules)
    digest = built.save(out)
    for line in reports_text(built.reports):
        typer.echo(line, err=True)
    if as_json:
        _print_json({"index": str(out), "sha256": digest, "entries": built.entries()})
        return
    for category, count in built.entries().items():
        typer.echo(f"{category:<32}{count:>12,}")
    typer.echo(f"wrote {out}, {out.stat().st_size:,} bytes, sha256 {digest}")


IndexFolder = Annotated[Path, typer.Argument(help="An index's folder: `update` of a dedup stage.", metavar="INDEX")]


@dedup.command("query")
@answering
def query_index(
    index: IndexFolder,
    file: Annotated[Path, typer.Argument(help="A text, or texts as JSON lines or Parquet.", metavar="FILE")],
    min_similarity: Annotated[float, typer.Option(help="Least similarity that is shown.", metavar="NUMBER")] = 0.5,
    top: Annotated[int, typer.Option(help="Documents to show for each text.", metavar="NUMBER")] = 10,
    field: Annotated[str, typer.Option(help="The key or column that holds the text.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Show what an index of near-duplicates holds that is like a text; similarities with ~ are estimates."""
    from corpusmill.pipeline.dedup_command import query, query_as_text

    for answer in query(index, file, field=field, min_similarity=min_similarity, top=top):
        if as_json:
            _print_json(answer)
        else:
            typer.echo(query_as_text(answer))


@dedup.command("info")
@answering
def info_of_index(
    index: IndexFolder,
    check: Annotated[bool, typer.Option("--check", help="Read all files and compare their checksums, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show an index's parameters and parts."""
    from corpusmill.pipeline.dedup_command import info, info_as_text

    told = info(index, check=check)
    if as_json:
        _print_json(told)
    else:
        typer.echo(info_as_text(told))


@dedup.command("forget")
@answering
def forget_part_of_index(
    index: IndexFolder, part: Annotated[str, typer.Argument(help="The part's name: `update_as`.", metavar="PART")]
) -> None:
    """Take a part out of an index. Runs that were compared with it decide anew when they are run again."""
    from corpusmill.dedup.index import forget_part

    forget_part(index, part)
    typer.echo(f"{index}: without {part} now")


@train.command("perplexity")
@answering
def train_perplexity(
    texts: Annotated[list[str], typer.Option(help="Reference texts: JSONL, Parquet or text files; folders; globs.")],
    out: Annotated[Path, typer.Option(help="The model to write.")],
    order: Annotated[int, typer.Option(help="Words of the longest n-grams, 2 to 5.")] = 5,
    min_count: Annotated[int, typer.Option(help="Rarer words are unknown to the model.")] = 1,
    prune: Annotated[
        str,
        typer.Option(
            help="For order 1, 2 …: n-grams that occur so often or less are left out; the last holds for the others.",
            metavar="NUMBERS",
        ),
    ] = "0 0 1",
    language: Annotated[str | None, typer.Option(help="Of the texts; noted in the model.")] = None,
    field: Annotated[str, typer.Option(help="The key or column that holds the text.")] = "text",
    fold: Annotated[bool, typer.Option(help="Words in lower case without accents, digits as 0, as CCNet.")] = True,
    memory_mb: Annotated[int, typer.Option(help="Megabytes for n-grams on their way to the disk.", min=1)] = 1000,
    scratch: Annotated[Path | None, typer.Option(help="Folder for them; default: the system's for scratch.")] = None,
    arpa: Annotated[Path | None, typer.Option(help="Write the model as an ARPA file, too, for KenLM.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train the n-gram model of the stage `perplexity` on texts that documents are to be like."""
    from corpusmill.filters.ngram_model import write_arpa
    from corpusmill.filters.perplexity_training import pruning
    from corpusmill.filters.perplexity_training import train_perplexity as fit
    from corpusmill.filters.training_texts import training_texts

    with fit(
        training_texts(texts, field=field),
        order=order,
        min_count=min_count,
        prune=pruning(prune),
        folded=fold,
        language=language,
        memory=memory_mb * 1_000_000,
        scratch=scratch,
    ) as trained:
        digest = trained.save(out)
        if arpa is not None:
            write_arpa(trained.model, arpa)
        facts = trained.model.facts
    if as_json:
        _print_json({"model": str(out), "sha256": digest, **facts})
        return
    typer.echo(f"{facts['words']:,} words in {facts['sentences']:,} lines of {facts['texts']:,} texts")
    for number, (found, kept) in enumerate(zip(facts["found"], facts["kept"], strict=True), 1):
        typer.echo(f"{number}-grams{found:>16,} found{kept:>16,} kept")
    typer.echo(f"wrote {out}, {out.stat().st_size:,} bytes, sha256 {digest}")


@tokenizer.command("train")
@answering
def train_tokenizer(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Datasets, runs, or texts (JSONL, Parquet or text files; folders; globs). NAME=PATH names a source.",
            metavar="INPUTS...",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER")],
    vocab_size: Annotated[
        str, typer.Option(help="Tokens, special ones included; 32k to 256k are usual (k: 1,024).", metavar="NUMBER")
    ] = "32k",
    special_tokens: Annotated[
        list[str] | None,
        typer.Option(
            "--special-tokens",
            "--special-token",
            help="Repeatable; default: <|endoftext|> and <|pad|>.",
            metavar="TEXT",
        ),
    ] = None,
    digits: Annotated[
        str, typer.Option(help="Digits of a token: individual (1), groups3 (up to 3) or none (any).")
    ] = "groups3",
    sample_mb: Annotated[float, typer.Option(help="Megabytes of text to train on, at most.")] = 200,
    seed: Annotated[int, typer.Option(help="Decides which texts are drawn.")] = 0,
    weights: Annotated[
        str | None,
        typer.Option(help="Shares of sources, such as web=.5,code=.3; default: as the input has them."),
    ] = None,
    field: Annotated[str, typer.Option(help="The key or column that holds the text.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Train a byte-level BPE tokenizer on a sample, and say how finely it cuts the words of held-out texts."""
    from corpusmill.pipeline import tokenizer_command as command

    trained = command.train_tokenizer(
        inputs,
        out,
        vocab_size=vocab_size,
        special_tokens=special_tokens or (),
        digits=digits,
        sample_mb=sample_mb,
        seed=seed,
        weights=weights,
        field=field,
    )
    if as_json:
        _print_json(json.loads((out / "fertility.json").read_text()))
    else:
        typer.echo(command.training_as_text(trained, out))


@tokenizer.command("fertility")
@answering
def fertility_of_tokenizers(
    tokenizers: Annotated[
        list[str],
        typer.Argument(help="Files tokenizer.json, or NAME=FILE of tiktoken's ranks.", metavar="TOKENIZERS..."),
    ],
    data: Annotated[str, typer.Argument(help="A dataset, a run, or texts.", metavar="DATASET")],
    sample_mb: Annotated[float, typer.Option(help="Megabytes of held-out text to measure on, at most.")] = 20,
    seed: Annotated[int, typer.Option(help="Decides which texts are drawn.")] = 0,
    field: Annotated[str, typer.Option(help="The key or column that holds the text.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Show how finely tokenizers cut the words of each source and language, on held-out texts."""
    from corpusmill.pipeline import tokenizer_command as command

    measured = command.compare_tokenizers(tokenizers, data, sample_mb=sample_mb, seed=seed, field=field)
    if as_json:
        _print_json(measured.as_dict())
    else:
        typer.echo(command.fertility_as_text(measured))


def _recipe(path: Path, overrides: list[str] | None, runs: Path | None) -> Any:
    from dataclasses import replace

    from corpusmill.pipeline.recipe import load_recipe

    loaded = load_recipe(path, overrides or ())
    return replace(loaded, runs=runs) if runs is not None else loaded


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, ensure_ascii=False))


def _width() -> int:
    """Columns of the terminal; of a pipe or file, those of a wide page."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 120


def main() -> None:
    """The command's entry point."""
    app()


if __name__ == "__main__":
    main()
