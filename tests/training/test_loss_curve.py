"""The loss curve's file: what DVC draws, what older builds left, and what fits on a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flyball.errors import CorruptionError
from flyball.training.loss_curve import CurvePoint, read_curve, thinned, write_curve

POINTS = tuple(CurvePoint(step=i, loss=10.0 / i, learning_rate=0.002) for i in range(1, 101))


def test_a_curve_is_a_list_of_objects_with_named_fields_and_reads_back(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.json", POINTS)
    first = json.loads((tmp_path / "curve.json").read_text())[0]
    assert first == {"step": 1, "loss": 10.0, "learning_rate": 0.002}
    assert read_curve(tmp_path / "curve.json") == POINTS


def test_a_curve_of_an_older_build_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "curve.json").write_text("[[1, 6.5, 0.0001], [2, 5.25, 0.0002]]")
    assert [point.loss for point in read_curve(tmp_path / "curve.json")] == [6.5, 5.25]


def test_no_file_is_no_curve_and_a_broken_one_is_told(tmp_path: Path) -> None:
    assert read_curve(tmp_path / "curve.json") == ()
    (tmp_path / "curve.json").write_text('[{"step": "x"}]')
    with pytest.raises(CorruptionError):
        read_curve(tmp_path / "curve.json")


def test_thinning_keeps_the_last_step_and_the_mean_loss() -> None:
    assert thinned(POINTS, 200) == POINTS
    few = thinned(POINTS, 10)
    assert len(few) == 10 and few[-1].step == 100
    assert sum(p.loss for p in few) / 10 == pytest.approx(sum(p.loss for p in POINTS) / 100)
