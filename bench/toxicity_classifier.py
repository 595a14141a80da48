"""Train a toxicity classifier from four public sources, and measure it on HateCheck, which none of its rows come from.

    python bench/toxicity_classifier.py DATA PROJECT

DATA holds davidson_tweets, surge_toxicity, toxigen_annotated, toxic_spans (MIT, and CC0 for the last) and hatecheck.
PROJECT gets classifiers/toxicity; the same rows give the same bytes. Toxic is: hate or offence (Davidson et al. 2017),
Toxic (Surge AI 2022), hate (Hosseini et al. 2023), and comments with toxic spans (Pavlopoulos et al. 2021), which also
give an opposite each: the comment without those spans, held out together with it. The regularisation and the threshold
are chosen on held-out rows of the sources. HateCheck (Röttger et al. 2021) chooses nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flyball.inference.classifiers.folder import Classifier
from flyball.statistics.classification import macro_f1, macro_f1_replicates, percentile_interval
from flyball.training.classifier_rows import Columns
from flyball.workflows.classifiers import train_classifier

Labelled = Iterator[tuple[str, bool, str | None]]
"""Text, whether it is toxic, and the rows that it is held out with."""


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Every object of a file of JSON Lines, packed or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def davidson(data: Path) -> Labelled:
    for row in rows_of(data / "davidson_tweets/tweets.jsonl.gz"):
        yield row["tweet"], row["class"] != "2", None


def surge(data: Path) -> Labelled:
    for row in rows_of(data / "surge_toxicity/toxicity.jsonl"):
        yield row["text"], row["is_toxic"] == "Toxic", None


def toxigen(data: Path) -> Labelled:
    for row in rows_of(data / "toxigen_annotated/toxigen.jsonl.gz"):
        yield row["text"], row["label"] == "hate", None


def toxic_spans(data: Path) -> Labelled:
    for name in ("trial", "test"):
        for row in rows_of(data / f"toxic_spans/{name}.jsonl"):
            spans = set(row["spans"])
            if spans:
                yield row["text"], True, row["id"]
                yield "".join(one for at, one in enumerate(row["text"]) if at not in spans), False, row["id"]


SOURCES = {"davidson": (davidson, "MIT"), "surge": (surge, "MIT"), "toxigen": (toxigen, "MIT"),
           "toxic_spans": (toxic_spans, "CC0-1.0")}  # fmt: skip


def train(data: Path, project: Path) -> Classifier:
    """The four sources as rows of one layout, and the classifier learned from them."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, (read, _) in SOURCES.items():
            files.append(Path(folder) / f"{name}.jsonl")
            lines = [json.dumps({"text": text, "toxic": toxic, "group": group}) for text, toxic, group in read(data)]
            files[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
        columns = Columns(label="toxic", positive="true", group="group")
        licences = [licence for _, licence in SOURCES.values()]
        return train_classifier(project, "toxicity", files, columns, licences=licences, replace=True, say=print)


def measure(classifier: Classifier, data: Path) -> None:
    """Macro F1 on HateCheck, and the share that is right of each of its functions."""
    rows = list(rows_of(data / "hatecheck/hatecheck.jsonl.gz"))
    truth = [row["label_gold"] == "hateful" for row in rows]
    said = classifier.positives([row["test_case"] for row in rows])
    pairs = [(str(one), str(other)) for one, other in zip(truth, said, strict=True)]
    lower, upper = percentile_interval(macro_f1_replicates(pairs), 0.95)
    print(f"HateCheck: macro F1 {macro_f1(Counter(pairs)):.3f} ({lower:.3f} to {upper:.3f}), {len(rows):,} cases")
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for row, one, other in zip(rows, truth, said, strict=True):
        right[row["functionality"]].append(one == other)
    for name, found in sorted(right.items()):
        print(f"  {name:24} {sum(found) / len(found):.2f} of {len(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("project", type=Path)
    arguments = parser.parse_args()
    classifier = train(arguments.data, arguments.project)
    held = classifier.header.held_out
    print(f"held out: macro F1 {held.macro_f1} ({held.macro_f1_lower} to {held.macro_f1_upper}), "
          f"TP {held.true_positives} FN {held.false_negatives} FP {held.false_positives} TN {held.true_negatives}, "
          f"threshold {classifier.header.threshold}, {classifier.header.settings}")  # fmt: skip
    folder = arguments.project / "classifiers/toxicity"
    print(f"{sum(path.stat().st_size for path in folder.iterdir()):,} bytes in {folder}")
    measure(classifier, arguments.data)


if __name__ == "__main__":
    main()
