"""Bad input through the real command: the run goes on and accounts for it, or ends with a line that says what to do."""

import contextlib
import gzip
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from corpusmill.pipeline.command import app

sys.path.insert(0, str(Path(__file__).parent))
from small_corpus import (
    COMMAND,
    check_whole,
    corpusmill,
    page,
    quick_folder,
    small_recipe,
    text,
    write_corpus,
    write_jsonl,
    write_recipe,
)

FLIPPED = 0b0001_0000


def members(count, seed):
    """Gzip members of a WARC file, a page each."""
    chance = random.Random(seed)
    return [gzip.compress(page(text(chance, 8), f"https://site.example/{n}"), mtime=0) for n in range(count)]


def lines(count, seed):
    """Gzip members of a file of JSON lines, ten lines each."""
    chance = random.Random(seed)
    rows = [json.dumps({"text": text(chance, 8)}).encode() + b"\n" for _ in range(10 * count)]
    return [gzip.compress(b"".join(rows[10 * n : 10 * n + 10]), mtime=0) for n in range(count)]


def flipped(content, position):
    """`content` with one bit changed."""
    return content[:position] + bytes([content[position] ^ FLIPPED]) + content[position + 1 :]


def write_damaged_corpus(folder):
    """Every kind of damage, each in a file of its own, and for each kind of file a good one."""
    pages = members(5, seed=1)
    whole = b"".join(pages)
    second, last = len(pages[0]), len(whole) - len(pages[-1])
    deep = "<div>" * 100_000 + "deep" + "</div>" * 100_000
    bomb = page("a" * 60_000_000, "https://bomb.example/")
    web = {
        "good": b"".join(members(3, seed=2)),
        "truncated": whole[: last + 200],
        "cut_whole": gzip.compress(b"".join(map(gzip.decompress, pages)))[:-200],  # one member, as gzip itself makes it
        "flipped": flipped(whole, second + len(pages[1]) // 2),
        "empty": b"",
        "deep": gzip.compress(page(deep, "https://deep.example/")),
        "bomb": gzip.compress(bomb) + pages[0],
    }
    for name, content in web.items():
        (folder / f"{name}.warc.gz").write_bytes(content)

    packed = lines(3, seed=3)
    whole = b"".join(packed)
    posts = {
        "good.jsonl": b'{"text": "A good line, and nothing else."}\n',
        "truncated.jsonl.gz": whole[: -len(packed[-1]) // 2],
        "cut_whole.jsonl.gz": gzip.compress(b"".join(map(gzip.decompress, packed)))[:-200],
        "flipped.jsonl.gz": flipped(whole, len(packed[0]) + len(packed[1]) // 2),
        "empty.jsonl": b"",
        "bomb.jsonl.gz": gzip.compress(b'{"text": "' + b"a" * 60_000_000 + b'"}\n') + packed[0],
        "list.jsonl": b'["text", "a list"]\n{"text": "good"}\n',
        "number.jsonl": b'{"text": "good"}\n{"text": 3.14}\n',
        "latin.jsonl": b'{"text": "good"}\n{"text": "caf\xe9"}\n',
        "broken.jsonl": b'{"text": "good"}\n{"text": "cut of',
    }
    for name, content in posts.items():
        (folder / name).write_bytes(content)

    chance = random.Random(4)
    table = pa.table({"text": [text(chance, 8) for _ in range(30)]})
    pq.write_table(table, folder / "good.parquet", row_group_size=10, use_dictionary=False, write_page_checksum=True)
    content = (folder / "good.parquet").read_bytes()
    second = pq.ParquetFile(folder / "good.parquet").metadata.row_group(1).column(0)
    middle = second.data_page_offset + second.total_compressed_size // 2
    (folder / "truncated.parquet").write_bytes(content[:-100])
    (folder / "flipped.parquet").write_bytes(flipped(content, middle))
    (folder / "empty.parquet").write_bytes(b"")
    pq.write_table(pa.table({"text": [1, 2, 3]}), folder / "number.parquet")

    (folder / "good.txt").write_text("A good text.")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "empty.txt").write_bytes(b"")
    return {
        "web second": len(pages[0]),
        "web last": last,
        "posts second": len(gzip.decompress(packed[0])),  # of JSON lines, offsets are those of the decoded file
    }


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A finished run over the damaged corpus: where its ledger is, and what is known of the damage."""
    folder = tmp_path_factory.mktemp("damaged")
    offsets = write_damaged_corpus(folder)
    stages = ["exact_dedup"]
    sources = {
        "web": {"paths": ["*.warc.gz"], "stages": stages},
        "posts": {"paths": ["*.jsonl", "*.jsonl.gz"], "stages": stages},
        "tables": {"paths": ["*.parquet"], "stages": []},
        "notes": {"paths": ["*.txt"], "kind": "text", "stages": []},
    }
    write_recipe(folder, {"name": "damaged", "sources": sources})
    ended = corpusmill("run", "recipe.yaml", cwd=folder)
    return folder / "runs" / "damaged", offsets, ended


def asked(run, question):
    """Rows that duckdb finds in the ledgers."""
    with duckdb.connect() as base:
        files = [str(path) for path in sorted(run.glob("*/ledger/*.parquet"))]
        base.read_parquet(files, union_by_name=True).create_view("ledger")
        return base.execute(question).fetchall()


def test_damage_ends_no_run(damaged):
    _, _, ended = damaged
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_each_source_balances_whatever_was_damaged(damaged):
    run, _, _ = damaged
    manifest = json.loads((run / "manifest.json").read_text())
    found = asked(
        run,
        "select source, count(*), count(*) filter (verdict = 'kept'), count(*) filter (verdict = 'dropped'), "
        "count(distinct id) from ledger group by source",
    )
    assert {row[0] for row in found} == {"web", "posts", "tables", "notes"}
    for source, rows, kept, dropped, ids in found:
        assert rows == kept + dropped == ids == manifest["sources"][source]["records"]
        assert kept == manifest["sources"][source]["documents_out"] > 0


def test_every_damage_has_its_row_with_file_offset_and_detail(damaged):
    run, offsets, _ = damaged
    found = asked(
        run,
        "select file, stage || '/' || reason, \"offset\", detail from ledger where verdict = 'dropped' "
        "and stage <> 'exact_dedup' order by file, \"offset\"",
    )
    expected = [
        ("bomb.jsonl.gz", "read/invalid_json", 0, "Unterminated string"),  # as far as it was decoded
        ("bomb.jsonl.gz", "read/decompression_bomb", None, "of the member at byte 0 expand to more than 10,"),
        ("bomb.warc.gz", "read/decompression_bomb", 0, "max_expansion is 200"),
        ("broken.jsonl", "read/invalid_json", 17, "Unterminated string"),
        ("cut_whole.jsonl.gz", "read/invalid_json", None, "Unterminated string"),
        ("cut_whole.jsonl.gz", "read/truncated_gzip", None, "the file ends within the member at byte 0"),
        ("cut_whole.warc.gz", "read/truncated_gzip", None, "the file ends within the member at byte 0"),
        ("deep.warc.gz", "extract/too_deep", 0, "elements deep; max_depth is 2,000"),
        ("empty.jsonl", "read/empty", 0, "the file has no byte"),
        ("empty.parquet", "read/empty", 0, "the file has no byte"),
        ("empty.txt", "read/empty", 0, "the file has no byte"),
        ("empty.warc.gz", "read/empty", 0, "the file has no byte"),
        ("flipped.jsonl.gz", "read/corrupt_gzip", offsets["posts second"], "does not decode: Error -3"),
        ("flipped.parquet", "read/corrupt_parquet", 10, "row group 1, 10 of its 10 rows"),
        ("flipped.warc.gz", "read/corrupt_gzip", offsets["web second"], "does not decode: Error -3"),
        ("latin.jsonl", "read/invalid_utf8", 17, "can't decode byte 0xe9"),
        ("latin.txt", "read/invalid_utf8", 0, "can't decode byte 0xe9"),
        ("list.jsonl", "read/not_an_object", 0, "a JSON list"),
        ("number.jsonl", "read/text_not_string", 17, '"text" is a JSON number'),
        *[("number.parquet", "read/text_not_string", row, 'the column "text" is int64') for row in range(3)],
        ("truncated.jsonl.gz", "read/invalid_json", None, "Unterminated string"),
        ("truncated.jsonl.gz", "read/truncated_gzip", None, "the file ends within the member"),
        ("truncated.parquet", "read/corrupt_parquet", 0, "magic bytes"),
        ("truncated.warc.gz", "read/truncated_gzip", offsets["web last"], "the file ends within the member"),
    ]
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (_, _, offset, detail), (_, _, wanted, words) in zip(found, expected, strict=True):
        assert wanted is None or offset == wanted
        assert words in detail


LARGE = 200_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder with one document of 200 MB between two short ones, and where the last one begins."""
    folder = tmp_path_factory.mktemp("large")
    paragraph = json.dumps(text(random.Random(5), 40) + "\n\n")[1:-1].encode()
    with open(folder / "large.jsonl", "wb") as stream:
        stream.write(b'{"text": "A short text before."}\n{"text": "')
        for _ in range(LARGE // len(paragraph)):
            stream.write(paragraph)
        last = stream.tell() + 3
        stream.write(b'"}\n{"text": "A short text behind."}\n')
    stages = [{"gopher_quality": {"min_words": 1, "max_words": 10**9, "min_stop_words": 0}}, "minhash_dedup", "pii"]
    write_recipe(folder, {"name": "large", "sources": {"s": {"paths": ["large.jsonl"], "stages": stages}}})
    return folder, last


def peak_of_workers(process):
    """The most memory that any process below the command has had in use, in bytes, once it has ended."""
    peaks = {}
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for worker in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{worker.pid}/status").read_text()
                    if found := re.search(r"VmHWM:\s+(\d+) kB", status):  # a zombie has no memory
                        peaks[worker.pid] = 1024 * int(found.group(1))
        time.sleep(0.2)  # workers live on for longer behind their last task, and a look goes over all processes
    return max(peaks.values())


def test_a_document_of_200_mb_is_a_row_of_the_ledger_and_takes_no_memory(large, tmp_path):
    peak, rows = run_over(large, tmp_path, "--set", "sources.s.stages=[]")  # it gets as far as the reader
    assert peak < 1.5e9 - LARGE
    assert rows == [(0, "kept", None, None), (33, "dropped", "read", "too_large"), (large[1], "kept", None, None)]


@pytest.mark.slow
def test_a_document_of_200_mb_goes_through_where_the_recipe_allows_it(large, tmp_path):
    peak, rows = run_over(large, tmp_path, "--set", "sources.s.read.max_record_bytes=300_000_000")
    assert peak < 300e6 + 15 * LARGE  # text, words, shingles, and what Parquet makes of it
    assert rows == [(0, "kept", None, None), (33, "kept", None, None), (large[1], "kept", None, None)]


def run_over(large, runs, *options):
    """Runs the command over the large document: the most memory that a worker had, and the ledger's rows."""
    with subprocess.Popen(
        [*COMMAND, "run", "recipe.yaml", "--runs", str(runs), "--workers", "1", *options],
        cwd=large[0], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        peak = peak_of_workers(process)
        said = process.stdout.read()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return peak, asked(runs / "large", 'select "offset", verdict, stage, reason from ledger order by "offset"')


GOOD = {"name": "small", "sources": {"web": {"paths": ["good.jsonl"], "stages": [{"language": {"keep": ["en"]}}]}}}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with a recipe and its input."""
    folder = tmp_path_factory.mktemp("good")
    write_jsonl(folder / "good.jsonl", [text(random.Random(6), 8) for _ in range(20)])
    write_recipe(folder, GOOD)
    (folder / "file").touch()
    return folder


REFUSED = {
    "a missing path": (
        ["--set", "sources.web.paths=god.jsonl"],
        'recipe.yaml: sources.web.paths: god.jsonl: matches no file: there is no "god.jsonl" in {good}; did you mean '
        '"good.jsonl"?',
    ),
    "an unknown key": (
        ["--set", "sources.web.licence=MIT"],
        'recipe.yaml: sources.web: unknown key "licence"; did you mean "license"?',
    ),
    "an unknown key of a stage": (
        ["--set", "sources.web.stages.language.min_scor=0.5"],
        'recipe.yaml: sources.web.stages[0].language: unknown key "min_scor"; did you mean "min_score"?',
    ),
    "an unknown language": (
        ["--set", "sources.web.stages.language.keep=[en, germn]"],
        'recipe.yaml: sources.web.stages[0].language: keep: "germn" is no language of this model; did you mean "de"?',
    ),
    "ratios that do not sum to 1": (
        ["--set", "mix.ratios={{web: 0.8}}"],
        "recipe.yaml: mix: mix.ratios: they sum to 0.8, not to 1; in the same proportions: {{web: 1}}",
    ),
    "a ratio of no source": (
        ["--set", "mix.ratios={{wed: 1}}"],
        "mix.ratios.wed: 'wed' is no source or slice of the recipe; did you mean 'web'?",
    ),
    "a tokenizer that is not there": (
        ["--set", "mix.ratios.web=1", "--set", "mix.unit=tokens", "--set", "mix.tokenizer=nope.json"],
        "tokenizer: {good}/nope.json is no file; give the path of a Hugging Face tokenizer.json",
    ),
    "a tokenizer that is none": (
        ["--set", "mix.ratios.web=1", "--set", "mix.unit=tokens", "--set", "mix.tokenizer=good.jsonl"],
        "tokenizer: {good}/good.jsonl is no Hugging Face tokenizer.json: ",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused_before_any_work_with_its_place_and_mend(good, tmp_path, monkeypatch, what):
    options, message = REFUSED[what]
    monkeypatch.chdir(good)
    ended = CliRunner().invoke(
        app, ["run", "recipe.yaml", "--runs", str(tmp_path / "runs"), *(option.format() for option in options)]
    )
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"corpusmill: {message.format(good=good)}")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_folder_for_runs_that_cannot_be_made_is_named(good):
    ended = corpusmill("run", "recipe.yaml", "--runs", "file/runs", cwd=good)
    assert ended.returncode == 1
    assert ended.stderr == (
        "corpusmill: file/runs/small: the run's folder cannot be made or written (Not a directory); point `runs` in "
        "the recipe, or --runs, at a folder that can\n"
    )


def test_a_recipe_that_cannot_be_written_is_named(good):
    ended = corpusmill("init", "file/recipe.yaml", cwd=good)
    assert ended.returncode == 1
    assert ended.stderr == (
        "corpusmill: file/recipe.yaml: cannot be written (File exists: file); name another place, or mend its rights\n"
    )


def test_a_source_that_is_short_is_told_with_what_is_missing_and_three_mends(good, tmp_path):
    options = ["--set", "sources.web.stages=[]", "--set", "mix={ratios: {web: 1}, budget: 10000, validation: 0}"]
    ended = corpusmill("run", "recipe.yaml", "--runs", tmp_path, *options, cwd=good)
    lines = (good / "good.jsonl").read_text().splitlines()
    there = sum(math.ceil(len(json.loads(line)["text"].encode()) / 4) for line in lines)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    _, _, message = ended.stderr.partition("corpusmill: ")
    assert message == (
        "mix: a budget of 10,000 estimated tokens (UTF-8 bytes / 4) asks more of some sources than they have:\n"
        f"  web: asked 10,000 (100 %), there are {there:,}, missing {10_000 - there:,}\n"
        "Mend it in one of three ways:\n"
        f"  budget: {there}   (the largest that these ratios allow)\n"
        f"  max_epochs: {math.ceil(10_000 / there * 100) / 100:g}   (repeats what is short)\n"
        f"  when_short: renormalise with a budget of at most {there}   (all sources together have no more)\n"
    )
    assert not (tmp_path / "small" / "dataset").exists()
    mended = corpusmill("run", "recipe.yaml", "--runs", tmp_path, *options, "--set", f"mix.budget={there}", cwd=good)
    assert mended.returncode == 0, mended.stderr
    check_whole(tmp_path / "small")


UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_a_line_and_a_little_room_later_it_goes_on(tmp_path):
    on_small_disk = [*UNSHARE, "sh", "-c", MOUNT, "sh", "8m", str(tmp_path)]
    try:
        subprocess.run([*on_small_disk, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk of its own can be mounted here: {error}")
    with quick_folder() as corpus:
        write_corpus(corpus)
        write_recipe(corpus, small_recipe())
        program = [sys.executable, str(Path(__file__).with_name("full_disk.py")), str(tmp_path), str(corpus)]
        ended = subprocess.run([*on_small_disk, *program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    first, *between, done = attempts = json.loads(ended.stdout)
    assert first["code"] == 1
    assert first["message"] == f"corpusmill: {tmp_path}/runs/small: {NO_SPACE}\n"
    assert len(between) >= 2
    for attempt in between:
        assert attempt["code"] == 1
        assert re.fullmatch(f"{tmp_path}/runs/small.*: {re.escape(NO_SPACE)}", attempt["message"])
    assert done["code"] == 0
    assert not any(attempt["partial"] for attempt in attempts)


NO_SPACE = (
    "no space left on its disk; free some or name another disk (`runs`, `--out`), then run the same command again: "
    "finished tasks are kept"
)
