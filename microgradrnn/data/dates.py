"""Dates in many formats and in one: the smallest real task for an encoder-decoder.

What is read and what is to be written have different lengths, and stand in different orders.
"""

from __future__ import annotations

from datetime import date, timedelta

from microgradrnn.data.checks import need_counts
from microgradrnn.nn.module import Rng, as_rng

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FORMATS = (
    "{d.day} {month} {d.year}", "{month} {d.day}, {d.year}", "{d.day:02}.{d.month:02}.{d.year}",
    "{d.month}/{d.day}/{d.year}", "{weekday}, {d.day} {month} {d.year}", "{short} {d.day} {d.year}",
    "{d.day}-{short}-{d.year}", "{d.day:02} {short} {d.year}",
)  # fmt: skip
FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)


def written(d: date, form: str) -> str:
    """A date in one of the FORMATS, in English whatever the machine's language.

    >>> [written(date(2024, 2, 29), form) for form in FORMATS[:3]]
    ['29 February 2024', 'February 29, 2024', '29.02.2024']
    """
    month = MONTHS[d.month - 1]
    return form.format(d=d, month=month, short=month[:3], weekday=DAYS[d.weekday()])


def dates(n: int, rng: Rng) -> list[tuple[str, str]]:
    """Pairs of a date from 1900 to 2099 in a random format, and the same date as ``2024-02-29``.

    Args:
        n: how many.
        rng: a generator, or a seed.

    >>> for pair in dates(2, 0):
    ...     print(pair)
    ('Feb 15 2070', '2070-02-15')
    ('25.03.2002', '2002-03-25')
    """
    need_counts("dates", n=n)
    rng = as_rng(rng)
    pairs = []
    for _ in range(n):
        d = FIRST + timedelta(int(rng.integers(0, (LAST - FIRST).days + 1)))
        pairs.append((written(d, FORMATS[rng.integers(0, len(FORMATS))]), d.isoformat()))
    return pairs


def held_out(target: str) -> bool:
    """Does a date belong to the tenth of all days that is kept for testing? The same days on every machine.

    >>> held_out("2024-02-29"), held_out("2024-03-05")
    (False, True)
    """
    return date.fromisoformat(target).toordinal() % 10 == 0
