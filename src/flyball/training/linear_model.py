"""The baseline of a classification: TF-IDF n-grams and multinomial logistic regression. I/O: reads rows, writes files.

The strength of the regularisation is the one that is right most often on the validation rows. The folder holds
`linear.onnx` and `vectorizer.json`: nothing of scikit-learn, and no pickle, is needed to serve it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from flyball.data.rows import Row, read_rows
from flyball.errors import EnvironmentMissing, InputError
from flyball.inference.label_scorer import LINEAR
from flyball.inference.text_features import VECTORIZER, Terms, Vocabulary
from flyball.records import Message
from flyball.telemetry import Progress
from flyball.training.config import LinearConfig
from flyball.training.linear_graph import linear_graph

_MOST_ITERATIONS = 1000


def train_linear(
    config: LinearConfig, *, dataset_dir: Path, out: Path, threads: int, seed: int, progress: Progress
) -> dict[str, float]:
    """Fit on the training rows and write the model to `out`; the numbers of the run.

    InputError for rows of fewer than two labels or without a word, EnvironmentMissing without scikit-learn.
    """
    progress("reading rows", 0, 0)
    rows, held_out = _labelled(dataset_dir, "train"), _labelled(dataset_dir, "validation")
    labels = sorted({row.label or "" for row in rows})
    if len(labels) < 2:
        raise InputError(
            f"the training rows have {len(labels)} label{'s' * (len(labels) != 1)}, and a linear model tells at least "
            "two apart",
            cure="check data.sources fields in flyball.yaml, or add rows",
        )
    progress("counting n-grams", 0, 0)
    vectorizers, matrix = _fitted(_vectorizers(config), [asked_text(row) for row in rows])
    checked = _stacked([one.transform([asked_text(row) for row in held_out]) for one in vectorizers if held_out])
    model, strength, right = _best(
        config, matrix, rows, checked, held_out, threads=threads, seed=seed, progress=progress
    )
    weights, intercepts = _all_labels(model)
    (out / LINEAR).write_bytes(linear_graph(weights.T, intercepts))
    vocabulary = Vocabulary(
        labels=tuple(str(label) for label in model.classes_), parts=tuple(_terms(one) for one in vectorizers)
    )
    (out / VECTORIZER).write_bytes(msgspec.json.encode(vocabulary))
    counted = {
        "rows": len(rows),
        "features": vocabulary.size,
        "parameters": (vocabulary.size + 1) * len(vocabulary.labels),
        "strength": strength,
    }
    if right is not None:
        counted["validation_exact_match"] = right
    return {name: float(value) for name, value in counted.items()}


def asked_text(row: Row) -> str:
    """What a request asks of a row: of a conversation the user's last text, as in the prompt path."""
    turns = msgspec.json.decode(row.turns, type=list[Message]) if row.turns else []
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), row.text)


def _labelled(dataset_dir: Path, split: str) -> list[Row]:
    return [row for row in read_rows(dataset_dir, split) if row.label is not None]


def _vectorizers(config: LinearConfig) -> list[Any]:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer  # in the `train` extra only, 1 s
    except ImportError as error:
        raise EnvironmentMissing("scikit-learn is not installed", cure='pip install "flyball[train]"') from error
    kinds = [("word", (1, config.words))]
    if config.characters:
        kinds.append(("char_wb", (min(2, config.characters), config.characters)))
    return [
        TfidfVectorizer(
            analyzer=kind, ngram_range=sizes, sublinear_tf=True, max_features=config.features, min_df=config.min_rows
        )
        for kind, sizes in kinds
    ]


def _fitted(vectorizers: Sequence[Any], texts: Sequence[str]) -> tuple[list[Any], Any]:
    """Those that found n-grams, and what they made of the texts: texts of emoji have characters, but no words."""
    fitted, matrices, why = [], [], ""
    for one in vectorizers:
        try:
            matrices.append(one.fit_transform(texts))
            fitted.append(one)
        except ValueError as error:  # an empty vocabulary
            why = str(error)
    if not fitted:
        raise InputError(
            f"the training rows give no n-grams: {why}",
            cure="set train.linear.characters to 5 (texts without words), or train.linear.min_rows to 1",
        )
    return fitted, _stacked(matrices)


def _stacked(matrices: Sequence[Any]) -> Any:
    from scipy.sparse import hstack  # comes with scikit-learn

    return hstack(matrices, format="csr") if matrices else None


def _best(
    config: LinearConfig,
    matrix: Any,
    rows: Sequence[Row],
    checked: Any,
    held_out: Sequence[Row],
    *,
    threads: int,
    seed: int,
    progress: Progress,
) -> tuple[Any, float, float | None]:
    """The model of the best strength, that strength, and its share of right labels; of equals the smallest strength."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    strengths = sorted(set(config.strengths)) if held_out else [sorted(config.strengths)[len(config.strengths) // 2]]
    best: tuple[Any, float, float | None] | None = None
    with threadpool_limits(threads):
        for done, strength in enumerate(strengths):
            progress(f"fitting C={strength:g}", done, len(strengths))
            model = LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS, random_state=seed)
            model.fit(matrix, [row.label for row in rows])
            right = float(model.score(checked, [row.label for row in held_out])) if held_out else None
            if best is None or (right or 0.0) > (best[2] or 0.0):
                best = (model, strength, right)
    progress("fitted", len(strengths), len(strengths))
    assert best is not None
    return best


def _all_labels(model: Any) -> tuple[Any, Any]:
    """Weights and intercepts with a row for each label; of two labels scikit-learn keeps the second's alone."""
    import numpy

    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    return numpy.vstack([0 * model.coef_, model.coef_]), numpy.concatenate([0 * model.intercept_, model.intercept_])


def _terms(vectorizer: Any) -> Terms:
    shortest, longest = vectorizer.ngram_range
    return Terms(
        analyzer=vectorizer.analyzer,
        shortest=shortest,
        longest=longest,
        sublinear=vectorizer.sublinear_tf,
        terms=tuple(vectorizer.get_feature_names_out().tolist()),
        idf=tuple(float(weight) for weight in vectorizer.idf_),
    )
