"""LSH and clustering of other projects over signatures, on demand; run by the peers' interpreter.

    python peer_clusters.py SIGNATURES.npy

SIGNATURES is uint16[documents, 112]. Each line on standard input is `PEER DOCUMENTS`; the answer is one JSON object:
the CPU seconds (`seconds`) that the peer took over the first DOCUMENTS, and how many it would drop. Peers, with 14
bands of 8 rows:

    datatrove     MinhashDedupBuckets for each band and MinhashDedupCluster, from sorted signature files; these are
                  written by us and not timed
    datasketch    MinHashLSH in memory: each document is looked up and, where nothing is found, inserted; the MinHash
                  objects are made before and not timed
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datasketch import MinHash, MinHashLSH
from datatrove.pipeline.dedup import minhash
from loguru import logger

BANDS, ROWS = 14, 8


def datatrove(signatures):
    config = minhash.MinhashConfig(num_buckets=BANDS, hashes_per_bucket=ROWS)
    with tempfile.TemporaryDirectory() as folder:
        places = {name: str(Path(folder) / name) for name in ("signatures", "buckets", "removed")}
        record = np.dtype([(f"value{row}", "<u8") for row in range(ROWS)] + [("document", "<u4")])
        for band in range(BANDS):
            records = np.empty(len(signatures), record)
            for row in range(ROWS):
                records[f"value{row}"] = signatures[:, band * ROWS + row]
            records["document"] = np.arange(len(signatures))
            records.sort(order=record.names)
            place = Path(places["signatures"]) / f"bucket_{band:03d}"
            place.mkdir(parents=True)
            records.tofile(place / "00000.minhash.sig")
        begun = time.process_time()
        for band in range(BANDS):
            minhash.MinhashDedupBuckets(places["signatures"], places["buckets"], config=config).run(None, band, BANDS)
        minhash.MinhashDedupCluster(places["buckets"], places["removed"], config=config).run(None, 0, 1)
        seconds = time.process_time() - begun
        return seconds, sum(path.stat().st_size // 4 for path in Path(places["removed"]).glob("*.remove"))


def datasketch(signatures):
    sketches = [MinHash(BANDS * ROWS, hashvalues=row.astype(np.uint32), scheme="affine32") for row in signatures]
    begun = time.process_time()
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    dropped = 0
    for row, sketch in enumerate(sketches):
        if index.query(sketch):
            dropped += 1
        else:
            index.insert(row, sketch, check_duplication=False)
    return time.process_time() - begun, dropped


def main() -> None:
    """Answers each line with a run."""
    logger.remove()
    signatures = np.load(sys.argv[1], mmap_mode="r")
    for line in sys.stdin:
        name, documents = line.split()
        seconds, dropped = {"datatrove": datatrove, "datasketch": datasketch}[name](signatures[: int(documents)])
        print(json.dumps({"seconds": seconds, "dropped": dropped}), flush=True)


if __name__ == "__main__":
    main()
