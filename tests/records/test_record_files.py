"""A record as a file reads back as itself, whatever fields its type got later."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from flyball.records import Preparation
from flyball.records.record_files import read_document, write_document
from tiny_gguf import tiny_release


def test_a_record_reads_back_with_and_without_fields_of_later_on(tmp_path: Path) -> None:
    plain = tiny_release()
    prepared = replace(plain, request_fields=("temperature",), preparation=Preparation(version=1, steps=("nfc",)))
    for record in (plain, prepared):
        write_document(tmp_path / "record.json", record, {"seconds": 1.5})
        assert read_document(tmp_path / "record.json") == (record, {"seconds": 1.5})
    write_document(tmp_path / "record.json", plain)
    assert "preparation" not in json.loads((tmp_path / "record.json").read_text())["content"], "old files stay as is"
