"""Dates of many forms against plain Python."""

import datetime
import email.utils

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dedup.dates import seconds

MOMENTS = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 30)).map(
    lambda moment: moment.replace(microsecond=0)
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))


def read(*dates: str | None) -> list[int | None]:
    return seconds(pa.array(dates, pa.string())).to_pylist()


def since_1970(moment: datetime.datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(seconds=1)


@given(st.lists(st.tuples(MOMENTS, ZONES), max_size=5))
def test_moments_are_read_back_from_every_form(moments):
    zoned = [moment.replace(tzinfo=zone) for moment, zone in moments]
    exact = [since_1970(moment) for moment in zoned]
    assert read(*(moment.isoformat() for moment in zoned)) == exact
    assert read(*(moment.isoformat(" ") for moment in zoned)) == exact
    assert read(*(moment.strftime("%Y%m%dT%H%M%S%z") for moment in zoned)) == exact
    assert read(*(email.utils.format_datetime(moment) for moment in zoned)) == exact
    plain = [moment for moment, _ in moments]
    assert read(*(moment.isoformat() + ".25Z" for moment in plain)) == [since_1970(moment) for moment in plain]
    assert read(*(moment.strftime("%Y%m%d%H%M%S") for moment in plain)) == [since_1970(moment) for moment in plain]


@given(st.lists(st.one_of(st.none(), st.text(), st.from_regex(r"\A[0-9 :/TZ+.,-]*\Z")), max_size=20))
def test_any_text_is_a_date_or_none_whatever_stands_beside_it(dates):
    assert read(*dates) == [read(date)[0] for date in dates]


@pytest.mark.parametrize(
    ("date", "same"),
    [
        ("2021", "2021-01-01T00:00:00Z"),
        (" 2021-05\n", "2021-05-01T00:00:00Z"),
        ("2021/5/3", "2021-05-03T00:00:00Z"),
        ("2021-05-03, edited", "2021-05-03T00:00:00Z"),
        ("2021-05-03T24:00", "2021-05-04T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2021-05-03 10:20 GMT", "2021-05-03T10:20:00Z"),
        ("2021-05-03T00:10:00+0230", "2021-05-02T21:40:00Z"),
        ("2021-05-03T23:10:00-02:30", "2021-05-04T01:40:00Z"),
        ("Tue, 6 Apr 1993 00:21:19 GMT", "1993-04-06T00:21:19Z"),
        ("6 April 1993", "1993-04-06T00:00:00Z"),
    ],
)
def test_a_date_that_lacks_parts_or_has_more_is_read_as_far_as_it_goes(date, same):
    assert read(date) == [since_1970(datetime.datetime.fromisoformat(same))]


@pytest.mark.parametrize(
    "date",
    ["", "yesterday", "2021-02-29", "2021-13-01", "2021-00-10", "0000-00-00", "0001-01-01T00:00:00", "3/5/2021",
     "1612345678", "1612345678123", "1234 Main Street", "2021-05-03T25:00", "31 Abc 2021", "٢٠٢١-٠٥-٠٣", "2021-123"],
)  # fmt: skip
def test_what_is_no_date_or_none_that_there_was_is_null(date):
    assert read(date) == [None]


def test_a_slice_of_an_array_is_read_by_itself():
    dates = pa.array(["2021", None, "2022", "x"])
    assert seconds(dates.slice(1, 2)).to_pylist() == [None, since_1970(datetime.datetime(2022, 1, 1))]


def test_a_hostile_date_costs_linear_time():
    long = "2021" + " " * 200_000 + "x"
    assert read(long, "-" * 200_000, "1 " * 100_000) == [None] * 3
