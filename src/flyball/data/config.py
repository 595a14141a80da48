"""Settings of the dataset stage: sources, cleaning, redaction, deduplication, validation, splits."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flyball.privacy.profile_names import profile_name

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which column of a source means what."""

    text: Annotated[
        str,
        Meta(
            description="The input: what a user writes. Several columns: '{instruction}\\n\\n{input}'; inside: a.0.b."
        ),
    ] = "text"
    label: Annotated[str, Meta(description="The answer to learn: a label (classification) or a reply.")] | None = (
        "label"
    )
    subject: Annotated[str, Meta(description="The person a row is about: erasure finds rows by it.")] | None = None
    group: (
        Annotated[str, Meta(description="Rows that must stay on one side of the split; default: subject.")] | None
    ) = None
    id: Annotated[str, Meta(description="The row's own key in the source.")] | None = None
    messages: (
        Annotated[
            str,
            Meta(
                description="Turns in place of text: OpenAI messages, ShareGPT, or a transcript. Unless `label` has a"
                " value, the last assistant turn is the answer."
            ),
        ]
        | None
    ) = None
    rejected: (
        Annotated[
            str, Meta(description="The answer that was not preferred; kept with the row for train.objective dpo.")
        ]
        | None
    ) = None
    split: Annotated[str, Meta(description="Column with the data set's own sides; they stand exactly.")] | None = None


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of rows (JSONL, a JSON array, CSV or Parquet; gzip too), or a folder of .txt and .md files."""

    path: Annotated[str, Meta(description="Relative to the project, absolute, or with ${VARIABLE} of the environment.")]
    name: Annotated[str, Meta(description="How records call it; default: the file's name.")] | None = None
    fields: Fields = msgspec.field(default_factory=Fields)
    split: (
        Annotated[
            Literal["train", "validation", "test"],
            Meta(
                description="The side all its rows are on; null: by hash of the group. Of train the share "
                "data.split.validation is validation, unless a source is `split: validation` or has `fields.split`."
            ),
        ]
        | None
    ) = None
    markup: (
        Annotated[
            Literal["html", "none"],
            Meta(description="html: tags go and entities become characters; null: as data.clean.strip_markup says."),
        ]
        | None
    ) = None
    format: (
        Annotated[
            str,
            Meta(description="jsonl, json, csv (any delimited text), parquet, text (.txt, .md); null: by its name."),
        ]
        | None
    ) = None
    encoding: Annotated[str, Meta(description="Such as cp1252 or utf-16; null: detected in the file.")] | None = None
    delimiter: (
        Annotated[
            str, Meta(min_length=1, max_length=4, description="Delimiter of CSV; null: detected in its first lines.")
        ]
        | None
    ) = None
    quote: (
        Annotated[str, Meta(max_length=1, description='Quote character of CSV; "": quotes mean nothing; null: ".')]
        | None
    ) = None
    columns: (
        Annotated[tuple[str, ...], Meta(min_length=1, description="Names of CSV's columns where no line has them.")]
        | None
    ) = None


class CleanConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is repaired, and what is dropped with its reason."""

    repair_encoding: Annotated[
        bool, Meta(description="UTF-8 that was read as another encoding is repaired; texts become NFC.")
    ] = True
    strip_markup: Annotated[
        bool | Literal["auto"],
        Meta(description="HTML becomes text; auto: in a source of whose first rows a tenth or more holds tags."),
    ] = "auto"
    white_space: Annotated[
        Literal["auto", "collapse", "keep"],
        Meta(description="collapse: one blank, one line break; auto: collapse for classification, keep for chat."),
    ] = "auto"
    min_characters: Annotated[int, Meta(ge=0, description="Rows with a shorter text are dropped.")] = 1
    max_characters: Annotated[int, Meta(ge=1, description="Rows with a longer text are dropped.")] = 20_000


class RedactConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Personal data in the text; the release applies the same profile to what users send."""

    profile: Annotated[Literal["none", "default"], Meta(description="default: replaced by <TYPE> placeholders.")] = (
        "default"
    )
    off: Annotated[
        tuple[Literal["CARD", "EMAIL", "IBAN", "IP", "NAME", "ORDER", "PHONE", "SECRET"], ...],
        Meta(description="Types that are not looked for."),
    ] = ()
    allow: Annotated[
        tuple[str, ...], Meta(description="Texts that stay although they look like personal data, such as Dr Oetker.")
    ] = ()

    @property
    def name(self) -> str:
        """The profile as a release names it: rows and requests are redacted by the same."""
        return profile_name(self.profile, off=self.off, allow=self.allow)


class DedupeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exact duplicates always go; near ones from this Jaccard similarity of word 3-grams on."""

    near: (
        Annotated[
            float,
            Meta(
                ge=0.5,
                le=1.0,
                description="Similarity from which texts are near duplicates; null: only exact duplicates go.",
            ),
        ]
        | None
    ) = 0.8
    conflicts: Annotated[
        Literal["drop", "keep"], Meta(description="Same text with different labels: drop all but the majority label.")
    ] = "drop"


class ValidateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that stop the pipeline, naming the rows that broke them."""

    min_rows: Annotated[int, Meta(ge=1, description="Fewest rows that a dataset version may have.")] = 20
    min_rows_per_label: Annotated[int, Meta(ge=1, description="Fewest rows of each label; classification only.")] = 2
    max_dropped: Annotated[Share, Meta(description="Largest share of rows that may be dropped.")] = 0.5
    labels: Annotated[tuple[str, ...], Meta(description="The only labels allowed; null: those seen.")] | None = None


class SplitConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares by keyed hash of the group, for rows without a declared side; a side never changes as data grows."""

    validation: Annotated[Share, Meta(description="Share of the groups held out to watch training.")] = 0.05
    test: Annotated[Share, Meta(description="Share of the groups held out for evaluation.")] = 0.15


class ProductionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be learned from production."""

    corrections: Annotated[bool, Meta(description="Corrected answers become training rows on `flyball improve`.")] = (
        True
    )
    max_rows: Annotated[int, Meta(ge=0, description="Most corrected answers taken into one dataset version.")] = 10_000


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dataset stage."""

    sources: Annotated[
        tuple[SourceConfig, ...],
        Meta(min_length=1, description="Where the rows come from: one entry for each file or folder."),
    ]
    allow_outside: Annotated[
        bool, Meta(description="Whether sources may be outside the project's folder, where no clone has them.")
    ] = False
    max_rows: Annotated[
        int, Meta(ge=1, description="Largest number of rows of one source, dropped ones too; more are refused.")
    ] = 5_000_000
    clean: CleanConfig = msgspec.field(default_factory=CleanConfig)
    redact: RedactConfig = msgspec.field(default_factory=RedactConfig)
    dedupe: DedupeConfig = msgspec.field(default_factory=DedupeConfig)
    validate: ValidateConfig = msgspec.field(default_factory=ValidateConfig)
    split: SplitConfig = msgspec.field(default_factory=SplitConfig)
    production: ProductionConfig = msgspec.field(default_factory=ProductionConfig)
