"""One model through its commands: packaged in another form, signed, given out, removed when nothing reaches it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flyball.errors import CorruptionError, RefusedError
from flyball.storage.artifacts import ArtifactStore
from flyball.storage.signatures import check, signature_path
from small_shop import flyball, ok, ok_lines
from tiny_gguf import write_tiny_adapter, write_tiny_gguf


@pytest.fixture(scope="module")
def desk(packaged, tmp_path_factory) -> tuple[Path, dict]:
    """A project around a tiny GGUF file, and what importing a Hugging Face folder there said."""
    root = tmp_path_factory.mktemp("versions") / "desk"
    tiny = write_tiny_gguf(root.parent / "tiny.gguf", printable=True)
    ok("init", str(root), "--model", str(tiny), cwd=root.parent)
    settings = root / "flyball.yaml"
    settings.write_text(settings.read_text().replace("max_tokens: 128", "max_tokens: 8").replace("context: 256", ""))
    return root, ok("import", str(packaged.training), cwd=root)


def test_a_model_is_packaged_in_another_form_with_a_release_that_differs_in_nothing_else(desk):
    root, taken = desk
    made = ok("package", taken["model"]["id"][:12], "--as", "gguf:q4_k_m", cwd=root)
    assert made["model"]["content"]["formats"] == ["gguf:q4_k_m", "safetensors"]
    before, after = taken["release"]["content"], made["release"]["content"]
    assert {key for key in after if before[key] != after[key]} == {"model", "artifact"}
    stores = [root / ".flyball/artifacts" / one["model"]["id"] for one in (taken, made)]
    assert (stores[1] / "model.gguf").stat().st_size < (stores[0] / "model.gguf").stat().st_size
    assert ok("package", taken["model"]["id"][:12], "--as", "gguf:q4_k_m", cwd=root)["model"] == made["model"]
    refused = flyball("package", taken["model"]["id"], "--as", "gguf:q1", cwd=root)
    assert refused.code == 2 and "gguf:q4_k_m" in refused.err
    assert flyball("package", taken["model"]["id"], cwd=root).code == 2
    assert ok("package", "--project", str(root), cwd=root.parent)["type"] == "ModelVersion"


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signature_holds_for_these_bytes_and_this_key_alone(desk, tmp_path):
    root, taken = desk
    name = taken["model"]["id"]
    store = ArtifactStore(root / ".flyball/artifacts")
    (private, public), (_, another) = keys(tmp_path, "sign"), keys(tmp_path, "other")
    assert flyball("models", "verify", name, "--key", str(public), cwd=root).code == 3
    ok("models", "sign", name[:12], "--key", str(private), cwd=root)
    assert ok("models", "verify", name, "--key", str(another), "--key", str(public), cwd=root)["signed_by"] == str(
        public
    )
    with pytest.raises(RefusedError, match="not by a key"):
        check(store, name, [another])
    weights = store.path(name) / "tokenizer_config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole + b" ")
    with pytest.raises(CorruptionError, match="is not what was signed"):
        check(store, name, [public])
    weights.write_bytes(whole)
    (store.path(name) / "more.bin").write_bytes(b"x")
    assert flyball("models", "verify", name, "--key", str(public), cwd=root).code == 5
    (store.path(name) / "more.bin").unlink()
    signature_path(store, name).write_text("{}")
    with pytest.raises(RefusedError):
        check(store, name, [public])


@pytest.mark.parametrize(("layout", "file"), [("hf", "model.safetensors"), ("gguf", "model.gguf")])
def test_what_is_given_out_and_taken_in_again_has_the_same_weights(desk, tmp_path, layout, file):
    root, taken = desk
    files = ok("export", taken["model"]["id"], "--to", str(tmp_path / "out"), "--as", layout, cwd=root)["files"]
    assert file in files and "profile.json" not in files
    source = tmp_path / "out" if layout == "hf" else tmp_path / "out" / file
    again = ok("import", str(source), cwd=root)["model"]["content"]
    hashes = {one["path"]: one["sha256"] for one in again["files"]}
    assert hashes[file] == hashlib.sha256((tmp_path / "out" / file).read_bytes()).hexdigest()
    before = {one["path"]: one["sha256"] for one in taken["model"]["content"]["files"]}
    assert hashes.items() <= before.items()
    assert flyball("export", taken["model"]["id"], "--to", str(tmp_path / "out"), "--as", layout, cwd=root).code == 2


def test_transformers_loads_what_is_given_out_for_it(desk, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    root, taken = desk
    ok("export", taken["release"]["id"], "--to", str(tmp_path / "hf"), "--as", "hf", cwd=root)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert model.config.vocab_size >= len(AutoTokenizer.from_pretrained(tmp_path / "hf"))
    files = ok("export", taken["release"]["id"], "--to", str(tmp_path / "ml"), "--as", "mlflow", cwd=root)["files"]
    assert {"MLmodel", "model/model.safetensors", "components/tokenizer/tokenizer.json"} <= set(files)
    assert flyball("export", taken["release"]["id"], "--to", str(tmp_path / "a"), "--as", "adapter", cwd=root).code == 2


def test_only_what_nothing_reaches_is_removed_and_only_when_asked(desk):
    root, taken = desk
    store = root / ".flyball/artifacts"
    orphan = store / ("e" * 64)
    orphan.mkdir()
    (orphan / "model.gguf").write_bytes(b"x" * 1000)
    assert ok_lines("models", "gc", cwd=root) == []
    for folder in store.iterdir():
        os.utime(folder, (0, 0))
    expected = {"model": orphan.name, "size_bytes": 1000}
    assert ok_lines("models", "gc", cwd=root) == [{**expected, "removed": False}] and orphan.is_dir()
    assert ok_lines("models", "gc", "--remove", cwd=root) == [{**expected, "removed": True}]
    assert not orphan.exists() and (store / taken["model"]["id"]).is_dir()


def test_weights_that_two_versions_share_are_stored_once(desk):
    root, taken = desk
    made = ok("package", taken["model"]["id"], "--as", "gguf:f16", cwd=root)
    first, second = (root / ".flyball/artifacts" / one["model"]["id"] for one in (taken, made))
    assert (first / "model.safetensors").samefile(second / "model.safetensors")


def test_an_alias_names_a_model_everywhere_and_can_move_and_go(desk):
    root, taken = desk
    name = taken["model"]["id"]
    assert ok_lines("models", "alias", "champion", name[:12], cwd=root) == [{"alias": "champion", "model": name}]
    shown = ok("models", "show", "champion", cwd=root)
    assert (shown["model"], shown["aliases"], shown["releases"][-1]) == (name, ["champion"], taken["release"]["id"])
    assert shown["recorded"]["imported_from"] and shown["training_run"] is None and shown["stored"]
    assert "champion" in flyball("models", "show", name, cwd=root).out
    other = ok("package", "champion", "--as", "gguf:f32", cwd=root)["model"]["id"]
    assert ok_lines("models", "alias", "champion", other, cwd=root) == [{"alias": "champion", "model": other}]
    assert flyball("models", "alias", "3f9c2a71", name, cwd=root).code == 2
    assert ok_lines("models", "alias", "champion", "--remove", cwd=root) == []
    assert flyball("models", "alias", "champion", "--remove", cwd=root).code == 4


def test_an_adapter_is_given_out_and_taken_in_again_as_the_same(desk, tmp_path):
    root, _ = desk
    adapter = write_tiny_adapter(tmp_path / "lora.gguf", seed=3)
    name = ok("import", str(adapter), cwd=root)["adapter"]["id"]
    given = ok("export", name, "--to", str(tmp_path / "out"), "--as", "adapter", cwd=root)["files"]
    assert given == ["adapter.gguf"] and (tmp_path / "out/adapter.gguf").read_bytes() == adapter.read_bytes()
    assert ok("import", str(tmp_path / "out/adapter.gguf"), cwd=root)["adapter"]["id"] == name
