"""Formats of sources by name: a new one is one file of this package and one line here."""

from __future__ import annotations

from flyball.data.readers import delimited, json_document, jsonl, parquet, text_folder
from flyball.data.readers.source_format import SourceFormat

FORMATS: dict[str, SourceFormat] = {
    module.FORMAT.name: module.FORMAT for module in (jsonl, json_document, delimited, parquet, text_folder)
}
SUFFIXES: dict[str, SourceFormat] = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
