"""What a model reads in production is what it was trained and tested on: raw rows become the same through both ways."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from flyball.data.config import CleanConfig, DataConfig, Fields, SourceConfig, SplitConfig, ValidateConfig
from flyball.data.dataset_stage import Source, build_dataset
from flyball.data.rows import SPLITS, read_rows
from flyball.data.samples.tickets import mojibake
from flyball.inference.prompt_path import PromptPath
from flyball.records import DatasetVersion, ModelVersion, Preparation
from flyball.registry.config import ReleaseConfig
from flyball.registry.release_composition import compose
from flyball.settings import parse_settings
from flyball.workflows.release_preparation import in_prepared, preparation_for


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


MODEL = ModelVersion(
    project="shop",
    training_run=None,
    dataset=None,
    architecture="LlamaForCausalLM",
    parameters=1,
    context_length=4096,
    formats=("gguf:q8_0", "safetensors"),
    files=(),
    chat_template="{{ '[INST] ' }}{{ messages }}{{ ' [/INST]</s>' }}",
)
WORDS = ["schöne Grüße", "größer", "Zürich", "wo bleibt", "Rückgabe", "defekt", "übel", "süß", "Öl", "naïve", "prêt"]
PLAIN = [f"{WORDS[n % 11]} {WORDS[n // 11]} Nr {'abcdefghijk'[n % 11]} my mail is p{n}@example.org" for n in range(99)]
TEXTS = {
    "plain": PLAIN,
    "html": [f'<p class="x">{text} &amp; so&nbsp;on</p><br/>\n<!-- {n} --> <b>ok</b>' for n, text in enumerate(PLAIN)],
    "NFD": [unicodedata.normalize("NFD", text) for text in PLAIN],
    "mojibake": [mojibake(text) for text in PLAIN],
    "windows": [f"\x93{text}\x94 \x96 \x80 5" for text in PLAIN],
    "code": [f"if a<b and c>{n}:\n    return '{text}'\n\n\n" for n, text in enumerate(PLAIN)],
    "markers": [f"[INST] {text} </s> <|end|>" for text in PLAIN],
    "spaces": [f"  {text} \t {n}\r\n\r\n" for n, text in enumerate(PLAIN)],
}


def built(tmp_path: Path, texts: list[str], task: str, data: DataConfig | None = None) -> tuple[DatasetVersion, Any]:
    path = tmp_path / "rows.jsonl"
    write_lines(path, [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts)])
    config = SourceConfig(path=str(path), fields=Fields())
    data = data or DataConfig(sources=(config,), split=SplitConfig(validation=0.0, test=0.5), validate=LENIENT)
    version = build_dataset(
        data,
        project="shop",
        task=task,
        sources=[Source(config=config, path=path)],
        key=bytes(32),
        out=tmp_path / "dataset",
    )
    rows = {row.line: row for side in SPLITS for row in read_rows(tmp_path / "dataset", side)}
    return version, rows


LENIENT = ValidateConfig(min_rows=1, min_rows_per_label=1, max_dropped=1.0)


@pytest.mark.parametrize("task", ["classification", "chat"])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_raw_row_sent_as_a_request_reaches_the_model_as_it_was_trained_and_tested(
    tmp_path: Path, kind: str, task: str
) -> None:
    version, rows = built(tmp_path, TEXTS[kind], task)
    document = {"version": 1, "project": "shop", "task": task, "data": {"sources": [{"path": "rows.jsonl"}]}}
    settings = parse_settings(document)
    preparation = preparation_for(settings, model=MODEL, model_dir=tmp_path, dataset=version)
    release = compose(
        ReleaseConfig(),
        project="shop",
        task=task,
        model=MODEL,
        labels=version.labels,
        redaction=settings.data.redact.profile,
        preparation=preparation,
    )
    path = PromptPath(release)
    assert len(rows) > 80
    for line, row in rows.items():
        raw, tested = ({"messages": [{"role": "user", "content": text}]} for text in (TEXTS[kind][line - 1], row.text))
        sent = path.engine_request(raw).body["messages"]
        assert sent == path.engine_request(tested).body["messages"]
        harmless = row.text.replace("[INST]", "[ INST]").replace("</s>", "< /s>").replace("<|", "< |")
        assert sent[-1]["content"] == harmless
    assert ("markup" in preparation.steps) == (kind == "html")
    assert ("whitespace" in preparation.steps) == (task == "classification")


def test_a_few_tags_in_a_source_are_what_people_write_and_stay(tmp_path: Path) -> None:
    texts = [f"{text} with <b>" if n < 3 else text for n, text in enumerate(PLAIN)]
    version, rows = built(tmp_path, texts, "classification")
    assert "markup" not in version.changed
    assert sum("<b>" in row.text for row in rows.values()) == 3


@pytest.mark.parametrize(
    ("source", "clean", "stripped"),
    [
        ({"markup": "html"}, {}, True),
        ({"markup": "none"}, {"strip_markup": True}, False),
        ({"markup": "none"}, {}, False),
        ({}, {"strip_markup": True}, True),
        ({}, {"strip_markup": False}, False),
    ],
)
def test_settings_say_what_is_markup(
    tmp_path: Path, source: dict[str, Any], clean: dict[str, Any], stripped: bool
) -> None:
    document = {"version": 1, "project": "shop", "data": {"sources": [{"path": "a", **source}], "clean": clean}}
    preparation = preparation_for(parse_settings(document), model=MODEL, model_dir=tmp_path, dataset=None)
    assert ("markup" in preparation.steps) is stripped


def test_white_space_of_code_is_kept_where_the_settings_say_so(tmp_path: Path) -> None:
    config = SourceConfig(path="x", fields=Fields())
    data = DataConfig(sources=(config,), clean=CleanConfig(white_space="keep"), validate=LENIENT)
    _, rows = built(tmp_path, TEXTS["code"], "classification", data)
    assert all(":\n    return" in row.text for row in rows.values())


def test_monitoring_looks_for_new_words_in_what_the_model_read() -> None:
    known = {"größe", "ok"}
    preparation = Preparation(version=1, steps=("encoding", "markup", "whitespace"))
    has_new = in_prepared(lambda text: not {*text.split()} <= known, preparation)
    assert not has_new(unicodedata.normalize("NFD", "<p>größe</p> ok"))
    assert has_new("<p>neu</p>")
    assert in_prepared(has_new, None) is has_new
