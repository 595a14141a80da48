"""A model of a classic model server is imported by its URL, and let go of by name. The server is a double."""

from __future__ import annotations

from pathlib import Path

from classic_doubles import OpenInferenceDouble, running
from small_shop import flyball, ok

SETTINGS = """
version: 1
project: desk
task: classification
data: {{sources: [{{path: tickets.csv, fields: {{text: text, label: label}}}}]}}
train: {{method: none}}
release:
  engine: {{kind: open-inference, url: "{url}", model: desk, version: "1", load: true}}
"""


def test_a_served_classifier_is_imported_once_it_labels_a_text_and_let_go_of(tmp_path: Path) -> None:
    things = ("bicycle", "chair", "coat", "desk", "kettle", "lamp", "mirror", "radio", "rug", "sofa")
    words = {"my invoice for": "billing", "a refund for": "refund", "a word about": "other"}
    rows = (f"{word} the {thing},{label}" for word, label in words.items() for thing in things)
    (tmp_path / "tickets.csv").write_text("\n".join(("text,label", *rows)))
    with running(OpenInferenceDouble(loaded=False)) as server:
        (tmp_path / "flyball.yaml").write_text(SETTINGS.format(url=server.url))
        assert isinstance(server, OpenInferenceDouble)
        server.broken = True
        refused = flyball("import", server.url, cwd=tmp_path)
        assert refused.code == 5 and "Stub process is not healthy" in refused.err
        server.broken = False
        made = ok("import", server.url, cwd=tmp_path)
        assert made["model"]["content"]["architecture"] == "desk:1" and not made["model"]["content"]["files"]
        flags = {"url": server.url, "model": "desk", "version": "1", "load": True}
        assert made["release"]["content"]["engine"]["flags"] == flags
        assert server.loaded
        done = ok("models", "unload", made["release"]["id"], cwd=tmp_path)
        assert not server.loaded and done["model"] == "desk"
    gone = flyball("models", "unload", made["release"]["id"], cwd=tmp_path)
    assert gone.code == 5 and "does not answer" in gone.err
