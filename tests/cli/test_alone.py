"""The gateway and the gates alone, without a project, before and against any OpenAI-compatible server."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import openai
import psutil
import pytest

from chat_server import ERROR, chat_server
from proxies import HttpProxy
from raw_upstream import RawUpstream, either
from refusals import check_refusal, contents, refused
from small_shop import FLYBALL, eventually, flyball, ok, ok_lines


@contextmanager
def gateway(
    folder: Path, upstream: str | None, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`flyball gateway` on a free port; its URL and process. Ended by ctrl-c, as a terminal does it."""
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [*FLYBALL, "gateway", *(["--upstream", upstream] if upstream else []), "--port", "0", "--json", *arguments],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            process_group=0,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "gateway.log").read_text()
        yield json.loads(line)["gateway"], process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_the_gateway_alone_records_takes_feedback_and_ends_clean_on_ctrl_c(tmp_path: Path) -> None:
    with (
        chat_server(lambda text, number: f"you said {text}") as server,
        gateway(tmp_path, server.url) as (url, process),
    ):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        raw = client.chat.completions.with_raw_response.create(
            model="anything", messages=[{"role": "user", "content": "hello ada@example.com"}]
        )
        assert raw.parse().choices[0].message.content == "you said hello ada@example.com"
        identifier = raw.headers["x-flyball-request-id"]
        answer = client.post(
            "/feedback", body={"request_id": identifier, "score": 1.0}, cast_to=object, options={"max_retries": 0}
        )
        assert answer
        with pytest.raises(openai.NotFoundError):
            client.post("/feedback", body={"request_id": "forged", "score": 1.0}, cast_to=object)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0, (tmp_path / "gateway.log").read_text()
        eventually(lambda: not any(child.is_running() for child in family), timeout_s=5)
    assert "Traceback" not in (tmp_path / "gateway.log").read_text()
    state = tmp_path / ".flyball-gateway"
    with closing(sqlite3.connect(state / "ledger.db")) as ledger:
        assert ledger.execute("SELECT id FROM requests").fetchall() == [(identifier,)]
        assert ledger.execute("SELECT count(*) FROM feedback").fetchone() == (1,)
    assert not [name for name, content in contents(state).items() if b"ada@example.com" in content], (
        "sealed or redacted"
    )


def command_line(process: psutil.Process) -> list[str]:
    """How a process was called; nothing of one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_environment_s_proxy_is_for_servers_elsewhere_and_never_for_this_machine(
    tmp_path: Path, stack: ExitStack
) -> None:
    near, far = (stack.enter_context(RawUpstream(either)) for _ in range(2))
    proxy = stack.enter_context(HttpProxy(far.port))
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"upstreams: [{{url: '{near.url}'}}, {{url: http://models.example/api/paas/v4, key: env:KEY, models: [far]}}]"
    )
    said = {"http_proxy": proxy.url, "https_proxy": proxy.url, "no_proxy": "", "NO_PROXY": "", "KEY": "secret"}
    url, _ = stack.enter_context(gateway(tmp_path, None, "--config", str(config), environment=said))
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    for model in ("m", "far"):
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
        assert answer.choices[0].message.content == "on its way"
    assert [one.target for one in near.asked] == ["/v1/models", "/v1/chat/completions"]
    places = {head.split(" ")[1] for head in proxy.heads}
    assert places == {"http://models.example/api/paas/v4/chat/completions"}, "neither the near server nor our own"


def test_a_password_in_an_upstream_s_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    done = flyball("gateway", "--upstream", "https://me:hunter2@models.example/v1", "--port", "0", cwd=tmp_path)
    assert done.code == 2 and "user name or a password" in done.err
    assert "hunter2" not in done.err + done.out


def test_a_server_with_its_own_path_and_header_is_measured(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    (tmp_path / "cases.jsonl").write_text('{"text": "where is it?", "label": "on its way"}\n')
    url = f"{server.url}/openai/deployments/g?api-version=1"
    more = ("--header", "api-key=env:KEY", "--suite", "cases.jsonl", "--model", "g")
    done = flyball("evaluate", url, *more, cwd=tmp_path, environment={"KEY": "secret"})
    assert done.code == 0, done.err
    assert server.asked[0].target == "/openai/deployments/g/chat/completions?api-version=1"
    assert server.asked[0].headers["api-key"] == "secret"
    done = flyball("evaluate", url, *more[2:], "--api-key", "sk-hunter2-hunter2", cwd=tmp_path)
    assert done.code == 2 and "is not a secret reference" in done.err and "hunter2" not in done.err


def test_the_gateway_alone_restarts_its_ingester_and_its_further_workers(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("gateway: {workers: 2}\n")
    with (
        chat_server(lambda text, number: f"you said {text}") as server,
        gateway(tmp_path, server.url, "--config", "gateway.yaml") as (url, process),
    ):

        def children() -> dict[str, psutil.Process]:
            lines = {child: command_line(child) for child in psutil.Process(process.pid).children()}
            begun = {child: line for child, line in lines.items() if len(line) > 2}  # not dead, nor still our own copy
            return {line[2].rpartition(".")[2]: child for child, line in begun.items()}

        eventually(lambda: set(children()) == {"ingester", "worker"})
        killed = children()
        for child in killed.values():
            child.kill()
        eventually(lambda: len(children()) == 2 and not set(children().values()) & set(killed.values()))
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        raw = client.chat.completions.with_raw_response.create(
            model="anything", messages=[{"role": "user", "content": "hello"}]
        )
        state = tmp_path / ".flyball-gateway"

        def recorded() -> list[tuple[str]]:
            with closing(sqlite3.connect(state / "ledger.db", timeout=10)) as ledger:
                return ledger.execute("SELECT id FROM requests").fetchall()

        assert eventually(recorded) == [(raw.headers["x-flyball-request-id"],)]
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0, (tmp_path / "gateway.log").read_text()
        eventually(lambda: not any(child.is_running() for child in family), timeout_s=5)


def test_the_gateway_alone_reads_its_settings_and_names_a_wrong_one(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("gateway: {prot: 1}\n")
    said = refused(
        "gateway", "--upstream", "http://127.0.0.1:9", "--config", "gateway.yaml", "--port", "0", cwd=tmp_path, code=2
    )
    assert "gateway.prot" in said and "did you mean gateway.port?" in said
    config.write_text("gateway: [\n")
    assert "not YAML" in refused(
        "gateway", "--upstream", "http://127.0.0.1:9", "--config", "gateway.yaml", "--port", "0", cwd=tmp_path, code=2
    )
    config.write_text("models: [one, two]\ngateway: {drain_s: 1}\n")
    yes = chat_server(lambda text, number: "yes")
    with yes as server, gateway(tmp_path, server.url, "--config", "gateway.yaml") as (url, _):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == ["one", "two"]


def test_the_file_of_the_page_serves_and_new_upstreams_take_effect_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/gateway.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-first")
    config = tmp_path / "gateway.yaml"
    with chat_server(lambda text, number: ERROR) as away, chat_server(lambda text, number: "yes") as near:
        text = text.replace("https://api.openai.com", away.url).replace("http://127.0.0.1:8000", near.url)
        config.write_text(text)
        with gateway(tmp_path, None, "--config", "gateway.yaml") as (url, process):
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            assert [model.id for model in client.models.list()] == ["gpt-4o-mini", "text-embedding-3-small"]
            hello = [{"role": "user", "content": "hello"}]
            answer = client.chat.completions.create(model="gpt-4o-mini", messages=hello)
            assert answer.choices[0].message.content == "yes"
            assert (away.models[-1], near.models[-1]) == ("gpt-4o-mini", "qwen3-4b")
            assert (away.keys[-1], near.keys[-1]) == ("Bearer sk-of-the-first", None), "its own key and no other's"
            config.write_text(text.replace("{gpt-4o-mini: qwen3-4b}", "{tiny: tiny-q4}"))
            eventually(lambda: [model.id for model in client.models.list()][-1] == "tiny")
            assert client.chat.completions.create(model="tiny", messages=hello).choices
            assert near.models[-1] == "tiny-q4"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    log = (tmp_path / "gateway.log").read_text()
    assert f"gpt-4o-mini → {away.url.removesuffix('/v1')} (" in log
    assert f"), then {near.url.removesuffix('/v1')} as qwen3-4b (" in log
    assert "sk-of-the-first" not in "".join(map(str, contents(tmp_path / ".flyball-gateway").values())) + log


def test_what_the_gateway_alone_recorded_and_what_it_cost_is_shown(tmp_path: Path) -> None:
    state = ("--state", ".flyball-gateway")
    secret = ok("key", "create", "web", "--budget-usd", "5", *state, cwd=tmp_path)["secret"]
    with chat_server(lambda text, number: "yes") as server, gateway(tmp_path, server.url) as (url, _):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0)
        for _ in range(3):
            client.chat.completions.create(model="anything", messages=[{"role": "user", "content": "hello"}])
        cost = eventually(lambda: (found := ok("cost", *state, cwd=tmp_path))["requests"] == 3 and found)
        assert cost["total_usd"] > 0 and cost["budgets"][0]["limit_usd"] == 5.0
        shown = flyball("requests", *state, cwd=tmp_path)
        assert shown.code == 0 and shown.out.count("anything") == 3, shown.err
        one = ok_lines("requests", *state, cwd=tmp_path)[0]
        facts = ok("requests", one["id"], *state, cwd=tmp_path)
        assert facts["path"] == "/v1/chat/completions" and facts["queue_ms"] + facts["engine_ms"] > 0
        assert "engine_ms" in flyball("requests", one["id"], *state, cwd=tmp_path).out
        assert "no request nothing" in refused("requests", "nothing", *state, cwd=tmp_path, code=4)
    assert "nowhere is not the state folder" in refused("cost", "--state", "nowhere", cwd=tmp_path, code=4)
    assert not (tmp_path / "nowhere").exists()


def ask_as(client: openai.OpenAI, person: str) -> None:
    hello = [{"role": "user", "content": f"hello, I am {person}@example.com"}]
    client.chat.completions.create(model="anything", messages=hello, user=person)  # type: ignore[arg-type]


def test_a_person_is_given_and_erased_what_the_gateway_alone_recorded(tmp_path: Path) -> None:
    state = ("--state", ".flyball-gateway")
    with chat_server(lambda text, number: "yes") as server, gateway(tmp_path, server.url) as (url, _):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        for person in ("ada", "bob", "ada"):
            ask_as(client, person)
        given = ok("subject", "export", "ada", *state, cwd=tmp_path)
        said = [request["texts"]["messages"][0]["content"] for request in given["requests"]]
        assert said == ["hello, I am ada@example.com"] * 2, "what waits in segments is filed first"
        receipt = ok("subject", "erase", "ada", *state, cwd=tmp_path)
        assert receipt["removed"]["traffic"]["payloads"] == 2 and receipt["signature"]
        assert ok("subject", "erase", "ada", *state, cwd=tmp_path) == receipt, "nothing is left to erase"
        ask_as(client, "ada")  # comes again later: recorded as anybody's
        ada, bob = (ok("subject", "export", person, *state, cwd=tmp_path)["requests"] for person in ("ada", "bob"))
        assert [bool(request["texts"]) for request in ada] == [False, False, True]
        assert [request["texts"]["messages"][0]["content"] for request in bob] == ["hello, I am bob@example.com"]
    actions = [entry["action"] for entry in ok_lines("audit", *state, cwd=tmp_path)]
    assert actions == ["erasure.end", "erasure.step", "erasure.begin"]
    nothing = flyball("subject", "erase", "Ada", *state, "--json", cwd=tmp_path)
    assert nothing.code == 4 and json.loads(nothing.out)["found"] is False and "nothing was found" in nothing.err
    assert "near it: ada" in nothing.err
    assert ok("audit", "--verify", *state, cwd=tmp_path)["intact"] is True
    assert "nowhere is not the state folder" in refused(
        "subject", "erase", "ada", "--state", "nowhere", cwd=tmp_path, code=4
    )
    assert not (tmp_path / "nowhere").exists()


def test_an_erasure_names_a_damaged_file_and_its_cure(tmp_path: Path) -> None:
    ok("key", "create", "web", "--state", ".flyball-gateway", cwd=tmp_path)
    (tmp_path / ".flyball-gateway/recording.json").write_bytes(b"")  # a power cut at the wrong moment
    result = flyball("subject", "erase", "ada", "--state", ".flyball-gateway", "--json", cwd=tmp_path)
    said = check_refusal(result, result.code)
    assert result.code != 0 and "recording.json" in said and "start the gateway" in said


def test_the_gateway_alone_lets_go_of_what_is_too_old_to_keep(tmp_path: Path) -> None:
    moment, state = 0.1 / 86_400, ("--state", ".flyball-gateway")
    config = tmp_path / "gateway.yaml"

    def texts() -> list[bool]:
        return [bool(one["texts"]) for one in ok("subject", "export", "ada", *state, cwd=tmp_path)["requests"]]

    with chat_server(lambda text, number: "yes") as server:
        config.write_text(f"gateway: {{recording: {{sealed_days: {moment}, retention_days: {moment}}}}}\n")
        with gateway(tmp_path, server.url, "--config", "gateway.yaml") as (url, process):
            ask_as(openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), "ada")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        config.write_text(f"gateway: {{recording: {{retention_days: {moment}}}}}\n")
        with gateway(tmp_path, server.url, "--config", "gateway.yaml") as (url, _):  # what it finds is over its time
            ask_as(openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), "ada")
            eventually(lambda: texts() == [False, True], timeout_s=30)
    assert len(texts()) == 2, "records stay"


def test_moments_are_told_to_people_as_local_time(tmp_path: Path) -> None:
    state = ("--state", ".flyball-gateway")
    made = ok("key", "create", "web", "--days", "1", *state, cwd=tmp_path)
    ok("key", "revoke", made["id"], *state, cwd=tmp_path)
    heading, row = flyball("key", "list", *state, cwd=tmp_path).out.splitlines()
    assert heading.split()[-2:] == ["EXPIRES", "REVOKED"]
    key = ok_lines("key", "list", *state, cwd=tmp_path)[0]
    moments = [time.localtime(key[name] / 1000) for name in ("expires_ms", "revoked_ms")]
    assert row.endswith("  ".join(time.strftime("%Y-%m-%d %H:%M:%S", moment) for moment in moments))


def test_two_gateways_may_share_a_state_folder(tmp_path: Path) -> None:
    hello = [{"role": "user", "content": "hello"}]
    state = tmp_path / ".flyball-gateway"
    with (
        chat_server(lambda text, number: "one") as one,
        chat_server(lambda text, number: "two") as two,
        gateway(tmp_path, one.url) as (first, _),
        gateway(tmp_path, two.url) as (second, process),
    ):
        for url, said in ((first, "one"), (second, "two"), (first, "one")):
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            answer = client.chat.completions.create(model="anything", messages=hello)
            assert answer.choices[0].message.content == said
        assert len(list(state.glob("routes-*.json"))) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert len(list(state.glob("routes-*.json"))) == 1


def test_servers_are_named_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("upstreams: [{url: 'http://127.0.0.1:9', models: [one]}]\n")
    both = ["--upstream", "http://127.0.0.1:9", "--config", "gateway.yaml", "--port", "0"]
    assert "`upstreams:` in gateway.yaml" in refused("gateway", *both, cwd=tmp_path, code=2)
    assert "give --upstream URL" in refused("gateway", "--port", "0", cwd=tmp_path, code=2)
    (tmp_path / "gateway.yaml").write_text(
        "upstreams: [{url: 'http://127.0.0.1:9', models: [one], key: env:NOT_SET_AT_ALL}]\n"
    )
    assert "NOT_SET_AT_ALL" in refused("gateway", "--config", "gateway.yaml", "--port", "0", cwd=tmp_path, code=2)


def test_another_address_than_loopback_needs_a_key_first(tmp_path: Path) -> None:
    with chat_server(lambda text, number: "yes") as server:
        said = refused("gateway", "--upstream", server.url, "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, code=3)
        assert "0.0.0.0" in said and "flyball key create NAME --admin --state .flyball-gateway" in said
        assert contents(tmp_path) == {}, "nothing was written"
        secret = ok("key", "create", "ops", "--admin", "--state", ".flyball-gateway", cwd=tmp_path)["secret"]
        with gateway(tmp_path, server.url, "--host", "0.0.0.0") as (url, _):
            url = url.replace("0.0.0.0", "127.0.0.1")
            with pytest.raises(openai.AuthenticationError):
                openai.OpenAI(base_url=f"{url}/v1", api_key="fb-guess", max_retries=0).models.list()
            assert openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0).models.list().data
