"""Facts and tables as people read them."""

from __future__ import annotations

import click

from flyball.cli.output import clock, pairs, table


def test_milliseconds_since_1970_are_local_time_under_any_name_and_durations_stay() -> None:
    text = click.unstyle(pairs({"noted_ms": 1_790_000_000_000, "total_ms": 1240, "beside": {"seen_ms": 1.79e12}}))
    when = clock(1_790_000_000_000)
    assert text.splitlines() == [f"noted     {when}", "total_ms  1240", f"beside    seen {when}"]


def test_an_id_of_its_own_is_whole_and_in_a_table_has_the_digits_that_suffice() -> None:
    name = "a1" * 32
    assert name in pairs({"release": name})
    assert name[:12] in table([{"release": name}], ("release",)) and name not in table(
        [{"release": name}], ("release",)
    )
