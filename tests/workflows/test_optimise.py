"""Variants of a model are compared by quality and cost; what was measured is kept, and nothing is released."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flyball.workflows.optimise import Comparison, Target, Variant
from flyball.workflows.optimise_page import commands, optimise_page, rows
from small_shop import flyball, make_small_shop, ok

LARGE = Variant(
    name="large",
    model="a" * 64,
    release="b" * 64,
    quality=0.90,
    lower=0.86,
    upper=0.93,
    n=300,
    latency_ms=10.0,
    answers_per_s=100.0,
    memory_mb=200.0,
    size_bytes=4_000_000,
)
SMALL = msgspec.structs.replace(
    LARGE, name="small", release="c" * 64, quality=0.88, latency_ms=12.0, answers_per_s=80.0, size_bytes=1_000_000
)
POOR = msgspec.structs.replace(
    LARGE, name="poor", release="d" * 64, quality=0.70, latency_ms=2.0, answers_per_s=400.0, size_bytes=500_000
)


def comparison(target: Target, *variants: Variant) -> Comparison:
    return Comparison(
        target=target,
        suite="validation",
        measure="exact_match",
        variants=variants,
        left_out={"gguf:q4_k_m": "no safetensors"},
        machine_usd_per_hour=0.36,
    )


def test_a_variant_that_another_beats_in_both_is_off_the_front() -> None:
    assert comparison("latency", LARGE, SMALL, POOR).front == ("large", "poor")
    assert comparison("size", LARGE, SMALL, POOR).front == ("large", "small", "poor")
    assert comparison("cost", LARGE, SMALL, POOR).front == ("large", "poor")


def test_what_is_suggested_is_no_worse_than_the_model_as_it_is_may_be() -> None:
    assert comparison("size", LARGE, SMALL, POOR).suggested is SMALL
    latency = comparison("latency", LARGE, SMALL, POOR)
    assert latency.suggested is LARGE and commands(latency) == ()
    told = commands(comparison("size", LARGE, SMALL))
    assert told == tuple(f"flyball {verb} {'c' * 12}" for verb in ("evaluate", "gate", "deploy"))


def test_the_cost_of_good_answers_is_machine_time() -> None:
    found = comparison("cost", LARGE)
    assert found.usd_per_1000_good(LARGE) == pytest.approx(1000 / 90 * 0.36 / 3600)
    assert msgspec.structs.replace(found, machine_usd_per_hour=0.0).usd_per_1000_good(LARGE) is None
    assert msgspec.structs.replace(found, measure="chrf").usd_per_1000_good(LARGE) is None
    assert found.usd_per_1000_good(msgspec.structs.replace(LARGE, quality=0.0)) is None


def test_the_page_stands_alone() -> None:
    page = optimise_page(comparison("size", LARGE, SMALL, POOR))
    assert "<svg" in page and "<script" not in page and "no safetensors" in page
    assert [row[0] for row in rows(comparison("size", LARGE, SMALL))] == ["large", "small"]


@pytest.mark.long
def test_forms_of_a_model_are_measured_once_and_nothing_is_released(tmp_path: Path) -> None:
    root = make_small_shop(tmp_path)
    built = ok("run", cwd=root)
    model, deployments = built["model"]["id"], ok("status", cwd=root)["deployments"]

    first = ok("optimise", model[:12], "--target", "size", "--form", "gguf:q4_k_m", "--form", "gguf:q8_0", cwd=root)
    as_it_is, packed = first["variants"]
    assert as_it_is["model"] == model and packed["name"] == "gguf:q4_k_m" and packed["model"] != model
    assert as_it_is["n"] == packed["n"] > 0 and first["measured_by"] == "validation.exact_match"
    assert packed["size_bytes"] < as_it_is["size_bytes"]
    assert all(
        one["memory_mb"] > 20 and one["answers_per_s"] > 1 and one["latency_ms"] > 0 for one in first["variants"]
    )
    assert Path(first["page"]).is_file()

    again = flyball(
        "optimise", model[:12], packed["model"][:12], "--target", "latency", "--form", "gguf:q4_k_m", cwd=root
    )
    assert again.code == 0, again.err
    assert again.err.count("measuring ") == 1, "only the variant that is new, by itself"
    assert ok("status", cwd=root)["deployments"] == deployments
