"""The command: `corpusmill run recipe.yaml` and what belongs to it.

Results go to stdout, progress and errors to stderr. Exit codes: 0 ok, 1 failure, 2 usage or recipe, 3 finished with
failed tasks, 130 interrupted. What is heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

Command = TypeVar("Command", bound=Callable[..., Any])


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
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one for each core.", metavar="NUMBER")
    ] = None,
    overrides: Overrides = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe, or go on with it where it stopped."""
    import time

    from corpusmill.pipeline.executors import LocalExecutor
    from corpusmill.pipeline.progress import duration, progress_for
    from corpusmill.pipeline.run import run_recipe
    from corpusmill.pipeline.summary import summary

    loaded = _recipe(recipe, overrides, runs)
    executor = LocalExecutor(workers if workers is not None else _cores())
    progress, began = progress_for(sys.stderr), time.monotonic()
    try:
        result = run_recipe(loaded, executor, progress)
    finally:
        executor.close()
        progress.close()
    typer.echo(f"ended after {duration(time.monotonic() - began)}\n", err=True)
    if as_json:
        _print_json({"run": str(result.folder), **result.manifest})
    else:
        typer.echo(summary(result.manifest, result.folder, _width()))
    raise typer.Exit(result.exit_code)


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


@train.command("quality")
@answering
def train_quality(
    positive: Annotated[list[str], typer.Option(help="Texts to keep: JSONL, Parquet or text files; globs.")],
    negative: Annotated[list[str], typer.Option(help="Texts to drop.")],
    out: Annotated[Path, typer.Option(help="The model to write, a .npz file.")],
    seed: Annotated[int, typer.Option(help="Decides which texts are held out.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the quality classifier and say how well it tells held-out texts apart."""
    from corpusmill.filters.quality_training import train_quality as fit
    from corpusmill.filters.quality_training import training_texts

    trained = fit(training_texts(positive), training_texts(negative), seed=seed)
    digest = trained.save(out)
    if as_json:
        bins = [dataclasses.asdict(row) for row in trained.reliability]
        _print_json({"roc_auc": trained.auc, "reliability": bins, "model": str(out), "sha256": digest})
        return
    from corpusmill.pipeline.summary import reliability_table

    typer.echo(f"held-out ROC AUC {trained.auc:.4f}\n{reliability_table(trained.reliability)}")
    typer.echo(f"wrote {out}, sha256 {digest}")


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """The command's entry point."""
    app()


if __name__ == "__main__":
    main()
