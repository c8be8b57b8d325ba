"""Personal data beside Presidio's recognizers and datatrove's formatter: what is found, rightly or not, and how fast.

Labels are those of Presidio's own synthetic sentences (presidio_synth_dataset_v2); a hit that overlaps a label of its
kind is right. Presidio runs its pattern recognizers of the six kinds with their default options, and any score counts.
Examples of identifiers are the IBAN registry's and libphonenumber's, in each way to write them. Statutes hold next to
no address of the internet, but thousands of section numbers that look like one.

    figure pii_precision             of all hits in the sentences, the share that a label confirms
    figure pii_recall                of all labels of the six kinds, the share found
    figure pii_precision_presidio    Presidio's
    figure pii_recall_presidio       Presidio's
    figure pii_vs_datatrove          how many times as fast as datatrove, email and IPv4 only, as it does
    figure pii_vs_datatrove_all_kinds  how many times as fast with all our kinds on
    figure pii_mb_per_s              all kinds, prose, news and mail together, one core

`python topics/pii.py FOLDER` (from benchmarks/) prints hits to judge by hand: see docs/pii_judged.md.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import phonenumbers
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.pipeline.formatters import PIIFormatter
from harness import Benchmark, race_timed, table
from peers_venv import peers_environment, peers_python
from prose import prose

from corpusmill.documents.batch import TextBatch
from corpusmill.filters import pii_national_ids, pii_phones, pii_secrets, pii_validators
from corpusmill.filters.pii import Pii
from corpusmill.filters.pii_search import KINDS, PiiSearch

_LABELS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
}
_ROWS = 1000
_SEED = 20
_JUDGED = {"email": 40, "ipv4": 40, "phone": 100}  # of the other kinds, all up to 20
Found = tuple[str, int, int, int]  # kind, row, first character, character after the last


def accuracy(benchmark: Benchmark) -> list[str]:
    """Precision and recall on labelled sentences, and what is found of each country's identifiers."""
    data = benchmark.real_data()
    rows = json.loads((data / "pii" / "presidio_synth_dataset_v2.json").read_text(encoding="utf-8"))
    texts = [row["full_text"] for row in rows]
    labels = [
        (_LABELS[span["entity_type"]], row, span["start_position"], span["end_position"])
        for row, entry in enumerate(rows)
        for span in entry["spans"]
        if span["entity_type"] in _LABELS
    ]
    theirs = _peers(texts, ("presidio", "datatrove"))
    contenders = {"ours": _ours(texts), "Presidio": theirs["presidio"], "datatrove": theirs["datatrove"]}
    lines: list[list[object]] = []
    for kind in (*_LABELS.values(), "all"):
        line: list[object] = [kind, sum(kind in (label[0], "all") for label in labels)]
        for name, found in contenders.items():
            precision, recall = _scores(found, labels, kind)
            missing = name == "datatrove" and kind not in ("email", "ip")
            line += ["–", "–"] if missing else [precision, recall]
            if kind == "all" and name != "datatrove":
                suffix = "" if name == "ours" else "_presidio"
                benchmark.figure(f"pii_precision{suffix}", precision)
                benchmark.figure(f"pii_recall{suffix}", recall)
        lines.append(line)
    return [
        "### Personal data: presidio_synth_dataset_v2",
        table(["kind", "labels", *(f"{name}, {score}" for name in contenders for score in ("P", "R"))], lines),
        "Ours finds phone numbers by country code, by North America's layouts, or by a word beside them. Those words "
        "were chosen on this set, too, besides mail and news, so that its recall of phone numbers flatters.",
        *_identifiers(data),
        *_statutes(data, 40 if benchmark.quick else None),
    ]


def _scores(found: Sequence[Found], labels: Sequence[Found], kind: str) -> tuple[float, float]:
    mine = [hit for hit in found if kind in (hit[0], "all")]
    wanted = [label for label in labels if kind in (label[0], "all")]
    right = sum(any(_overlap(hit, label) for label in wanted) for hit in mine)
    reached = sum(any(_overlap(hit, label) for hit in mine) for label in wanted)
    return right / max(len(mine), 1), reached / max(len(wanted), 1)


def _overlap(one: Found, other: Found) -> bool:
    return one[:2] == other[:2] and one[2] < other[3] and other[2] < one[3]


def _ours(texts: Sequence[str]) -> list[Found]:
    batch = TextBatch.of_texts(texts)
    found: list[Found] = []
    for start, end, kind, row in zip(*(column.tolist() for column in PiiSearch().find(batch)), strict=True):
        origin = int(batch.offsets[row])
        before = batch.text[origin:start].tobytes().decode()
        inside = batch.text[start:end].tobytes().decode()
        name = "ip" if KINDS[kind].startswith("ip") else KINDS[kind]
        found.append((name, row, len(before), len(before) + len(inside)))
    return found


def _peers(texts: Sequence[str], names: Sequence[str]) -> dict[str, list[Found]]:
    """What the peers of these names find, from a process in their own environment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.parquet"
        pq.write_table(pa.table({"text": list(texts)}), path)
        done = subprocess.run(
            [peers_python(), Path(__file__).parents[1] / "peer_pii.py", path],
            env=peers_environment(),
            input="".join(f"{name}\n" for name in names),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    answers = map(json.loads, done.stdout.splitlines())
    return {name: [tuple(hit) for hit in answer["found"]] for name, answer in zip(names, answers, strict=True)}


def _identifiers(data: Path) -> list[str]:
    """How many of each country's examples are found, in each way to write them."""
    head, *rows = [
        line.split("|")
        for line in (data / "pii/identifier_format_tables/iban/registry.txt").read_text(encoding="utf-8").splitlines()
    ]
    official = [row for row in rows if len(row) > 20 and row[head.index("swift_official")] == "1"]
    accounts = [row[head.index("iban_example")].replace(" ", "") for row in official]
    accounts = [account for account in accounts if account[:2] in pii_validators.IBAN_FORMATS]
    kinds = (
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.TOLL_FREE,
    )
    numbers = [
        example
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in kinds
        if (example := phonenumbers.example_number_for_type(region, kind)) is not None
    ]
    formats = phonenumbers.PhoneNumberFormat

    def written(style: int) -> list[str]:
        return [phonenumbers.format_number(number, style) for number in numbers]

    national = written(formats.NATIONAL)
    sets = {
        "IBAN, every country, plain": accounts,
        "IBAN, in groups of four": [
            " ".join(text[place : place + 4] for place in range(0, len(text), 4)) for text in accounts
        ],
        "IBAN, check digits one off": [f"{text[:2]}{(int(text[2:4]) + 1) % 100:02}{text[4:]}" for text in accounts],
        "phone, every region, `+` and groups": [f"ring {text}, please" for text in written(formats.INTERNATIONAL)],
        "phone, `+` and digits": [f"ring {text}, please" for text in written(formats.E164)],
        "phone, national, behind `Phone:`": [f"Phone: {text}." for text in national],
        "phone, national, bare": [f"it is {text}, please" for text in national],
    }
    lines = []
    for name, texts in sets.items():
        new, _ = Pii().rewrite(TextBatch.of_texts(texts))
        lines.append([name, len(texts), sum("<" in text for text in new.to_pylist()) / len(texts)])
    return [
        "### Personal data: identifiers of every country",
        table(["", "examples", "found"], lines),
        "Not found behind a label are islands' numbers of six digits or fewer; bare are numbers of North America only, "
        "as `phone_regions` says.",
    ]


def _statutes(data: Path, count: int | None) -> list[str]:
    paths = sorted((data / "text/german_federal_laws_md").rglob("*.md"))[:count]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    ours, theirs = (
        Counter(hit[0] for hit in found) for found in (_ours(texts), _peers(texts, ["datatrove"])["datatrove"])
    )
    size = sum(len(text.encode()) for text in texts) / 1e6
    return [
        f"In {size:.1f} MB of German statutes, ours finds {ours['ip']} IP addresses and {ours['email']} email "
        f"addresses, datatrove {theirs['ip']} and {theirs['email']}."
    ]


def speed(benchmark: Benchmark) -> list[str]:
    """Races datatrove's formatter: on its kinds, and with all of ours on."""
    n_bytes = 700_000 if benchmark.quick else 8_000_000
    corpora = {
        "prose": [text for _, text in prose(benchmark.real_data(), n_bytes)],
        "news, with headers": _texts(benchmark.real_data() / "text/newsgroups20_bydate", n_bytes),
        "mail, with headers": _texts(benchmark.real_data() / "quality/spamassassin_mail_a", n_bytes),
    }
    formatter, same, whole = PIIFormatter(), Pii(kinds=("email", "ipv4")), Pii()
    total: dict[str, float] = defaultdict(float)
    lines: list[list[object]] = []
    size_of_all = 0.0
    for name, texts in corpora.items():
        size = sum(len(text.encode()) for text in texts) / 1e6
        batches = [TextBatch.of_texts(texts[start : start + _ROWS]).documents for start in range(0, len(texts), _ROWS)]

        def datatrove(texts: Sequence[str] = texts) -> float:
            begun = time.process_time()
            for text in texts:
                formatter.format(text)
            return time.process_time() - begun

        def ours(stage: Pii, batches: Sequence[pa.RecordBatch] = batches) -> float:
            _forget()
            begun = time.process_time()
            for documents in batches:
                stage.rewrite(TextBatch(documents))
            return time.process_time() - begun

        timings = race_timed(
            {"datatrove": datatrove, "same": lambda: ours(same), "all": lambda: ours(whole)},
            rounds=2 if benchmark.quick else 5,
        )
        for contender in ("datatrove", "same", "all"):
            total[contender] += timings.median(contender)
        size_of_all += size
        speeds = [size / timings.median(contender) for contender in ("datatrove", "same", "all")]
        lines.append([name, *speeds, timings.ratio("datatrove", "same"), timings.ratio("datatrove", "all")])
    ratios = [total["datatrove"] / total[contender] for contender in ("same", "all")]
    lines.append(["all three", *(size_of_all / total[name] for name in ("datatrove", "same", "all")), *ratios])
    benchmark.figure("pii_vs_datatrove", ratios[0])
    benchmark.figure("pii_vs_datatrove_all_kinds", ratios[1])
    benchmark.figure("pii_mb_per_s", size_of_all / total["all"])
    return [
        "### Personal data against datatrove's PIIFormatter",
        table(
            [
                "",
                "datatrove, MB/s",
                "email and IPv4, MB/s",
                "all kinds, MB/s",
                "email and IPv4, times",
                "all kinds, times",
            ],
            lines,
        ),
        f"{size_of_all:.1f} MB, one thread, CPU seconds; what we remember of numbers judged before is forgotten before "
        "each round.",
    ]


def _forget() -> None:
    """Empties the caches of candidates judged, not those of tables."""
    modules: tuple[ModuleType, ...] = (pii_validators, pii_phones, pii_national_ids, pii_secrets)
    for module in modules:
        for function in vars(module).values():
            if hasattr(function, "cache_parameters") and function.cache_parameters()["maxsize"] is not None:
                function.cache_clear()


def _texts(folder: Path, n_bytes: int) -> list[str]:
    """Texts of files spread over the folder, until they have `n_bytes`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".complete")
    random.Random(_SEED).shuffle(paths)
    texts: list[str] = []
    size = 0
    for path in paths:
        if size >= n_bytes:
            break
        texts.append(path.read_bytes().decode("latin-1"))
        size += len(texts[-1].encode())
    return texts


def hits_to_judge(data: Path) -> list[tuple[str, str, str, str]]:
    """Kind, what stands before, the hit, what stands behind: a sample of the hits in news and mail, by seed."""
    hits: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for folder in ("text/newsgroups20_bydate", "quality/spamassassin_mail_a"):
        texts = _texts(data / folder, 1 << 40)
        for first in range(0, len(texts), _ROWS):
            rows = texts[first : first + _ROWS]
            for kind, row, start, end in _ours(rows):
                text = rows[row]
                hits[kind].append((kind, text[max(0, start - 30) : start], text[start:end], text[end : end + 15]))
    chance = random.Random(_SEED)
    counts = {"ip": _JUDGED["ipv4"], **_JUDGED}
    return [
        hit for kind in sorted(hits) for hit in chance.sample(hits[kind], min(counts.get(kind, 20), len(hits[kind])))
    ]


if __name__ == "__main__":
    for _hit in hits_to_judge(Path(sys.argv[1])):
        print(*map(repr, _hit))
