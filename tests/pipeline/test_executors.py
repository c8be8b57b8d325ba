import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from corpusmill.documents.errors import InputError, StorageError, UsageError
from corpusmill.pipeline.executors import LocalExecutor

sys.path.insert(0, str(Path(__file__).parent))  # worker processes get this path, too
from errands import Errand


@pytest.fixture(scope="module")
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


def run(executor, tmp_path, *whats):
    errands = [Errand(number, what, tmp_path) for number, what in enumerate(whats)]
    seen = []
    return executor.run(errands, seen.append), errands, seen


def test_outcomes_come_in_the_order_of_the_tasks(executor, tmp_path):
    outcomes, errands, seen = run(executor, tmp_path, *["work"] * 20)
    assert [outcome.task for outcome in outcomes] == errands
    assert [outcome.counts["number"] for outcome in outcomes] == list(range(20))
    assert len(seen) == 20


def test_two_workers_share_the_work(executor, tmp_path):
    outcomes, _, _ = run(executor, tmp_path, *["sleep"] * 6)
    assert len({outcome.counts["pid"] for outcome in outcomes}) == 2


def test_a_killed_worker_costs_its_task_one_retry(executor, tmp_path):
    outcomes, errands, _ = run(executor, tmp_path, "work", "die-once", "work", "work")
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert errands[1].attempts() == 2
    assert errands[2].attempts() == 1


def test_a_task_that_kills_its_worker_twice_is_reported_and_the_others_go_on(executor, tmp_path):
    outcomes, errands, _ = run(executor, tmp_path, "die", *["work"] * 5)
    assert "its worker was killed by SIGKILL" in outcomes[0].error
    assert "lower split_bytes or --workers" in outcomes[0].error
    assert errands[0].attempts() == 2
    assert [outcome.error for outcome in outcomes[1:]] == [None] * 5


def test_a_worker_that_leaves_is_noticed(executor, tmp_path):
    outcomes, _, _ = run(executor, tmp_path, "leave", "work")
    assert "ended with 7" in outcomes[0].error


def test_an_exception_is_retried_once_then_reported_with_its_place(executor, tmp_path):
    outcomes, errands, _ = run(executor, tmp_path, "fail", "fail-once")
    assert "ValueError: no luck with 0" in outcomes[0].error
    assert "errands.py" in outcomes[0].error
    assert errands[0].attempts() == 2
    assert outcomes[1].error is None


@pytest.mark.parametrize(("what", "error"), [("full", StorageError), ("unusable", InputError)])
def test_what_no_retry_can_mend_ends_the_run(tmp_path, what, error):
    executor = LocalExecutor(1)
    with pytest.raises(error):
        run(executor, tmp_path, what, "work")
    executor.close()


def test_no_worker_at_all_is_refused():
    with pytest.raises(UsageError, match="--workers 0: must be at least 1"):
        LocalExecutor(0)


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from corpusmill.pipeline.executors import LocalExecutor
        from errands import Errand

        if __name__ == "__main__":
            notes = Path({str(tmp_path)!r})
            LocalExecutor(2).run([Errand(n, "sleep", notes) for n in range(10_000)], lambda outcome: None)
    """)
    program = tmp_path / "program.py"
    program.write_text(script)
    parent = subprocess.Popen([sys.executable, str(program)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("sleep-*"))) < 4:
        assert time.monotonic() < deadline, "the workers never began"
        time.sleep(0.05)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
