"""The chart as helm and Kubernetes read it: linted, rendered over a matrix of values, valid from 1.31 to 1.37."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import flyball
from flyball.settings import parse_settings
from helm_program import CHART, ROOT, helm, rendered, values_file
from kubernetes_schemas import VERSIONS, check

SETS = ("minimal", "everything", "keda")
MATRIX: tuple[tuple[str, ...], ...] = (
    ("console.enabled=false", "console.enabled=true"),
    ("networkPolicy.enabled=false", "networkPolicy.enabled=true"),
    ("ledger.existingSecret=", "ledger.existingSecret=database"),
    ("autoscaling.enabled=false", "autoscaling.enabled=true"),
)


@pytest.mark.parametrize("name", SETS)
def test_helm_lints_it_strictly_and_kubernetes_would_take_every_object(name: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", values_file(name))
    assert done.returncode == 0, done.stdout
    documents = rendered("--values", values_file(name))
    assert len(documents) >= 10
    for document, version in itertools.product(documents, VERSIONS):
        check(document, version)


@pytest.mark.long
def test_every_combination_of_switches_is_valid() -> None:
    for choices in itertools.product(*MATRIX):
        sets = [part for choice in choices for part in ("--set", choice)]
        for document in rendered("--values", values_file("minimal"), *sets):
            check(document, "1.37")


def test_a_typing_error_and_an_unknown_kind_would_be_seen() -> None:
    documents = rendered("--values", values_file("everything"))
    gateway = next(one for one in documents if one["kind"] == "StatefulSet")
    gateway["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readinesProbe"):
        check(gateway, "1.37")
    with pytest.raises(LookupError, match="Sprocket"):
        check({"apiVersion": "example.com/v1", "kind": "Sprocket", "spec": {}}, "1.37")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--set", "config="), "--set-file config=flyball.yaml"),
        (("--set", "config=a: ["), "config is no YAML"),
        (("--set", "config=project: shop"), "env:FLYBALL_LEDGER_URL"),
        (("--set", "config=ledger: {url: env:FLYBALL_LEDGER_URL}"), "env:FLYBALL_PROJECT_KEY"),
        (("--set", "keda.enabled=true", "--set", "autoscaling.enabled=true"), "replicas can have one owner"),
        (("--set", "keda.enabled=true"), "keda.triggers is empty"),
        (("--set", "httpRoute.enabled=true"), "httpRoute.parentRefs is empty"),
        (("--set", "gateway.replica=3"), "'replica' not allowed"),
        (("--set", "gateway.replicas=0"), "/gateway/replicas"),
        (("--set", "gateway.storage=many"), "/gateway/storage"),
        (("--set", "image.pullPolicy=Sometimes"), "/image/pullPolicy"),
    ],
)
def test_values_that_cannot_work_are_refused_with_their_cure(flags: tuple[str, ...], said: str) -> None:
    escaped = [flag.replace("{", r"\{").replace(",", r"\,") if "config=" in flag else flag for flag in flags]
    done = helm("template", "shop", str(CHART), "--values", values_file("minimal"), *escaped)
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_more_workers_than_one_in_a_pod_are_refused(tmp_path: Path) -> None:
    settings = tmp_path / "flyball.yaml"
    settings.write_text(_config("minimal") + "gateway: {workers: 2}\n")
    done = helm("template", "shop", str(CHART), "--set-file", f"config={settings}")
    assert done.returncode != 0 and "gateway.workers is above 1" in done.stderr


def test_settings_reach_the_pods_as_they_were_written(tmp_path: Path) -> None:
    text = _config("minimal") + 'gateway: {max_body_bytes: 4194304, total_timeout_s: 300.0}  # as it is: "{{ x }}"\n'
    settings = tmp_path / "flyball.yaml"
    settings.write_text(text)
    documents = rendered("--set-file", f"config={settings}")
    found = next(one for one in documents if one["kind"] == "ConfigMap")["data"]["flyball.yaml"]
    assert found == text
    assert parse_settings(yaml.safe_load(found)).gateway.max_body_bytes == 4_194_304


def test_every_value_is_documented_with_its_default_and_has_a_schema() -> None:
    values = dict(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    rows = re.findall(r"^\| `([^`]+)` \| `(.*?)` \| (.+) \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    assert {name: json.loads(default) for name, default, _ in rows} == values
    assert len(rows) == len(values) and all(len(text) > 5 for _, _, text in rows)
    schema = json.loads((CHART / "values.schema.json").read_text())
    for name in values:
        found = schema
        for part in name.split("."):
            assert found["additionalProperties"] is False
            found = found["properties"][part]


def test_it_installs_the_version_that_it_lies_beside() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == flyball.__version__
    tagged = rendered("--values", values_file("minimal"), "--set", "image.tag=1.2@sha256:0123")
    gateway = next(one for one in tagged if one["kind"] == "StatefulSet")
    assert gateway["metadata"]["labels"]["app.kubernetes.io/version"] == "1.2"
    assert gateway["spec"]["template"]["spec"]["containers"][0]["image"] == "flyball:1.2@sha256:0123"


def test_its_rules_are_those_of_the_monitoring_folder_and_name_its_job() -> None:
    source = ROOT / "deploy/monitoring/prometheus/rules"
    files = {path.name: path.read_text() for path in source.glob("*.yml")}
    assert files and files == {path.name: path.read_text() for path in (CHART / "rules").glob("*.yml")}
    documents = rendered("--values", values_file("everything"))
    rule = next(one for one in documents if one["kind"] == "PrometheusRule")
    groups = [group for name in sorted(files) for group in yaml.safe_load(files[name])["groups"]]
    assert rule["spec"]["groups"] == groups
    monitor = next(one for one in documents if one["kind"] == "ServiceMonitor")
    service = next(one for one in documents if one["kind"] == "Service" and one["spec"]["type"] == "LoadBalancer")
    job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    assert f'up{{job="{job}"}}' in files["flyball-alerts.yml"]


def _config(name: str) -> str:
    return str(yaml.safe_load(Path(values_file(name)).read_text())["config"])


def _leaves(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        whole = isinstance(value, dict) and value and name not in ("resources",)
        found += _leaves(value, f"{prefix}{name}.") if whole else [(prefix + name, value)]
    return found
