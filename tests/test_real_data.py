"""The whole command over real data: 220 MB of WARC, ARC, WET, books, LaTeX and forum posts. Nothing crashes, and every
record is accounted for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from fastwarc.warc import ArchiveIterator

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.realdata, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(realdata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    # The source `web` reads all pages. The two published recipes that read them again get the first of them.
    write_first_pages(realdata / "warc/pages.warc.gz", folder / "pages.warc.gz")
    fewer = [
        f"sources.{source}.{key}={value}"
        for source in ("web_english", "web_refined")
        for key, value in (("paths", folder / "pages.warc.gz"), ("root", folder))
    ]
    environment = {**os.environ, "REALDATA": str(realdata)}
    ran = subprocess.run(
        [sys.executable, "-m", "corpusmill.pipeline.command", "run", str(ROOT / "benchmarks/real.yaml"),
         *(argument for change in fewer for argument in ("--set", change))],
        cwd=folder, env=environment, text=True, capture_output=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return folder / "runs/real"


def write_first_pages(archive, target, size=10_000_000):
    """Writes the first records of an archive that has a gzip member for each."""
    with open(archive, "rb") as stream:
        end = next(record.stream_pos for record in ArchiveIterator(stream) if record.stream_pos > size)
        stream.seek(0)
        target.write_bytes(stream.read(end))


def test_in_is_kept_plus_dropped_for_every_source_and_stage(run):
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["failed"] == []
    for name, source in manifest["sources"].items():
        ledger = str(run / name / "ledger/*.parquet")
        [(records, ids, kept, unexplained)] = duckdb.sql(
            "select count(*), count(distinct id), count(*) filter (verdict = 'kept'), "
            "count(*) filter ((verdict = 'dropped') <> (stage is not null and reason is not null)) "
            "from read_parquet($1)",
            params=[ledger],
        ).fetchall()
        assert records == ids == source["records"], name
        assert kept == source["documents_out"], name
        assert unexplained == 0, name
        dropped = dict(duckdb.sql("select stage, count(*) from read_parquet($1) where verdict = 'dropped' group by all",
                                  params=[ledger]).fetchall())  # fmt: skip
        left = records
        for stage in source["stages"]:
            assert stage["in"] == left, (name, stage["stage"])
            left -= dropped.pop(stage["stage"], 0)
            assert stage["kept"] == left, (name, stage["stage"])
        assert (left, dropped) == (kept, {}), name


def test_every_kind_of_archive_gave_documents(run):
    rows = duckdb.sql(
        "select split_part(file, '/', 2) as pack, "
        "count(*) filter (verdict = 'kept' or stage not in ('read', 'extract')) "
        "from read_parquet($1) group by all",
        params=[str(run / "web/ledger/*.parquet")],
    ).fetchall()
    documents = dict(rows)
    assert len(documents) >= 7
    assert all(count > 0 for count in documents.values()), documents


def test_every_duplicate_names_a_document_that_was_there(run):
    for name in ("web", "forum"):
        lost = duckdb.sql(
            "select count(*) from read_parquet($1) d left join read_parquet($1) k on k.id = d.kept_id "
            "where d.kept_id is not null and k.id is null",
            params=[str(run / name / "ledger/*.parquet")],
        ).fetchall()
        assert lost == [(0,)]


def test_curated_documents_are_those_that_the_ledger_kept(run):
    for name in json.loads((run / "manifest.json").read_text())["sources"]:
        differing = duckdb.sql(
            "select count(*) from (select id from read_parquet($1) where verdict = 'kept') l "
            "full join (select id, text from read_parquet($2)) c using (id) where l.id is null or c.text is null",
            params=[str(run / name / "ledger/*.parquet"), str(run / name / "curated/*.parquet")],
        ).fetchall()
        assert differing == [(0,)], name
