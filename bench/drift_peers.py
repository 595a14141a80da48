"""Other people's drift detectors on the streams of bench/drift.py; each runs in an environment of its own.

    python bench/drift_peers.py adwin|evidently STREAMS ALARMS

STREAMS holds a JSON object a line: {"reference": [first, last], "values": {COLUMN: […]}, "numbers": [COLUMN, …]}.
ALARMS gets a line for each: [[COLUMN, place], …], and a last one: the version. Both have the settings they come with:
ADWIN watches each category's indicator, or the number itself, from the first request on; Evidently compares each window
of 1,000 with the reference.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

WINDOW = 1000

Alarms = list[tuple[str, int]]
Values = Mapping[str, Sequence[Any]]


def adwin(values: Values, numbers: Sequence[str], reference: tuple[int, int]) -> Alarms:
    """An alarm of a column is a request at which any of its windows is cut."""
    from river.drift import ADWIN

    found: Alarms = []
    for column, all in values.items():
        if column in numbers:
            one = ADWIN()
            for at, value in enumerate(all):
                one.update(value)
                if one.drift_detected:
                    found.append((column, at))
            continue
        for category in dict.fromkeys(all):
            one = ADWIN()
            for at, value in enumerate(all):
                one.update(value == category)
                if one.drift_detected:
                    found.append((column, at))
    return sorted({pair for pair in found if pair[1] >= reference[1]}, key=lambda pair: pair[1])


def evidently(values: Values, numbers: Sequence[str], reference: tuple[int, int]) -> Alarms:
    """An alarm of a column is the end of a window whose p-value or distance is beyond the threshold."""
    import pandas
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        categorical_columns=[column for column in values if column not in numbers], numerical_columns=list(numbers)
    )
    frame = pandas.DataFrame(values)
    known = Dataset.from_pandas(frame[slice(*reference)], data_definition=definition)
    found: Alarms = []
    for end in range(reference[1] + WINDOW, len(frame) + 1, WINDOW):
        window = Dataset.from_pandas(frame[end - WINDOW : end], data_definition=definition)
        for metric in Report([DataDriftPreset()]).run(window, known).dict()["metrics"]:
            config = metric["config"]
            if "column" in config:
                p_value = config["method"].endswith("p_value")
                value, threshold = metric["value"], config["threshold"]
                if value < threshold if p_value else value >= threshold:
                    found.append((config["column"], end - 1))
    return found


SYSTEMS: Mapping[str, tuple[str, Callable[[Values, Sequence[str], tuple[int, int]], Alarms]]] = {
    "adwin": ("river", adwin),
    "evidently": ("evidently", evidently),
}


def main() -> None:
    warnings.simplefilter("ignore")
    package, run = SYSTEMS[sys.argv[1]]
    with Path(sys.argv[2]).open() as streams, Path(sys.argv[3]).open("w") as alarms:
        for line in streams:
            one = json.loads(line)
            print(json.dumps(run(one["values"], one["numbers"], tuple(one["reference"]))), file=alarms)
        print(json.dumps(f"{package} {version(package)}"), file=alarms)


if __name__ == "__main__":
    main()
