from __future__ import annotations

import pytest

from corpusmill.documents.errors import UsageError
from corpusmill.pipeline import executors, working


class Noted(executors.LocalExecutor):
    def __init__(self, workers: int, made: list[Noted]) -> None:
        super().__init__(workers)
        self.workers, self.closed = workers, False
        made.append(self)

    def close(self) -> None:
        super().close()
        self.closed = True


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> list[Noted]:
    made: list[Noted] = []
    monkeypatch.setattr(executors, "LocalExecutor", lambda workers: Noted(workers, made))
    return made


def test_the_workers_end_with_the_work_and_with_its_errors(noted: list[Noted]) -> None:
    with working.working(3) as (executor, _):
        assert executor is noted[0]
        assert not noted[0].closed
    with pytest.raises(ZeroDivisionError), working.working(2):
        raise ZeroDivisionError
    assert [(one.workers, one.closed) for one in noted] == [(3, True), (2, True)]


def test_what_is_said_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with working.working(1) as (_, progress):
        progress.say("a line")
    assert capsys.readouterr() == ("", "a line\n")


def test_without_a_number_there_is_a_process_for_each_core(noted: list[Noted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "cores", lambda: 5)
    with working.working(None):
        pass
    assert [one.workers for one in noted] == [5]


def test_no_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="--workers 0: must be at least 1"), working.working(0):
        pass
