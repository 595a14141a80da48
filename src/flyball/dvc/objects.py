"""What DVC keeps of older contents: finds the objects that name a person, and removes them. I/O: cache, remotes.

DVC itself cannot delete single objects. One is found by what is in it: a row of the person where it reads as a content
of one of the sources, the keyed hash in what our stages wrote, the person's identifier in anything else. The pipeline's
run cache forgets the outputs that such objects were part of.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flyball.compliance.byte_search import search_all
from flyball.compliance.subjects import Person
from flyball.compliance.text_encodings import SHORTEST
from flyball.data.config import Fields, SourceConfig
from flyball.data.erasure.subject_objects import Sources
from flyball.dvc.commands import environment
from flyball.settings import source_path
from flyball.wiring import Project

CORRECTIONS = SourceConfig(path="loop/corrections.jsonl", name="production", fields=Fields(subject="subject"))


PAGES = ("report.json", "report.html", "junit.xml")
"""What of a report shows texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What of a cache names a person; `unread`: objects of which nothing is known, as they do not unpack.

    `searched`: objects that there are. `mentioning`: objects that have the name somewhere, but no row of the person.
    """

    paths: tuple[Path, ...] = ()
    unread: int = 0
    searched: int = 0
    mentioning: int = 0


def cache_folder(project: Project) -> Path | None:
    """DVC's cache on this machine; None where DVC is not set up."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"],
        cwd=project.root,
        env=environment(project),
        capture_output=True,
        text=True,
    )
    path = Path(done.stdout.strip())
    return path if done.returncode == 0 and path.is_dir() else None


def naming(project: Project, person: Person, rows: Sequence[str] = (), clean: set[Path] | None = None) -> Naming:
    """The objects in DVC's cache that name the person, and the folder listings that contain them.

    `rows` are the ids of the person's rows: pages of reports that show one go too.
    """
    cache = cache_folder(project)
    if cache is None:
        return Naming()
    return naming_in(cache, sources_of(project), person, row_key=project.key.row_key, rows=rows, clean=clean)


def naming_in(
    cache: Path,
    sources: Sequence[tuple[Path, SourceConfig]],
    person: Person,
    *,
    row_key: bytes,
    rows: Sequence[str] = (),
    clean: set[Path] | None = None,
) -> Naming:
    """`naming` in one cache: by the rows of older contents first, then by bytes.

    `clean` are objects in which nothing was found before: a content never changes under its digest, so that it is
    looked into once; those of now are added.
    """
    clean = set() if clean is None else clean
    stored = sorted(path for path in (cache / "files").rglob("*") if path.is_file() and path.suffix != ".dir")
    looked = Sources(sources=sources, key=row_key)
    names = [person.subject]
    fresh = [path for path in stored if path not in clean]
    contents = dict(looked.contents(fresh, person.hash, names))
    found, by_rows = {path for path, mine in contents.items() if mine}, set(contents)
    by_digest = {digest(path): path for path in stored}
    for path in (cache / "files").rglob("*.dir"):
        listing = path.read_bytes()
        wanted = looked.listed(listing, person.hash, names) | _pages_showing(listing, by_digest, rows)
        found |= {by_digest[name] for name in wanted if name in by_digest}
        by_rows |= {by_digest[name] for name in _outputs(listing) if name in by_digest}
    others = [path for path in fresh if path not in found]
    searched = search_all(others, [person.hash], words=identifiers(sources, person))
    found |= {hit.path for hit in searched.hits if hit.needle == person.hash or hit.path not in by_rows}
    mentioning = {hit.path for hit in searched.hits} - found
    unread = {path for path, _ in searched.unread} - found
    clean |= set(others) - found - unread - mentioning
    paths = tuple(sorted(found | listings(cache, {digest(path) for path in found})))
    return Naming(paths=paths, unread=len(unread), searched=len(stored), mentioning=len(mentioning))


def _outputs(listing: bytes) -> set[str]:
    """Of a listing of what one of our stages wrote: the files that say by a hash whose their rows are."""
    entries = _entries(listing)
    if not any(entry.get("relpath") == "record.json" for entry in entries):
        return set()
    return {entry["md5"] for entry in entries if entry.get("relpath") != "rejects.parquet" and "md5" in entry}


def _entries(listing: bytes) -> list[dict[str, str]]:
    try:
        return msgspec.json.decode(listing, type=list[dict[str, str]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []


def _pages_showing(listing: bytes, by_digest: Mapping[str, Path], rows: Sequence[str]) -> set[str]:
    """Of a listing of a report's folder: its pages, when report.json, which has ids beside texts, shows one of rows."""
    pages = {entry.get("relpath"): entry.get("md5", "") for entry in _entries(listing) if entry.get("relpath") in PAGES}
    report = by_digest.get(pages.get("report.json", ""))
    return set(pages.values()) if report and rows and search_all([report], rows).hits else set()


def sources_of(project: Project) -> list[tuple[Path, SourceConfig]]:
    """The sources that the settings name, whose contents the cache keeps, and the corrections."""
    root = project.root
    sources = [(source_path(source.path, root), source) for source in project.settings.data.sources]
    return [*sources, (project.places.corrections, CORRECTIONS)]


def identifiers(sources: Iterable[tuple[Path, SourceConfig]], person: Person) -> list[str]:
    """How a raw source may write the identifier of a person: beside its field, and alone where that tells anything."""
    fields = {source.fields.subject for _, source in sources if source.fields.subject}
    forms = {json.dumps(person.subject), json.dumps(person.subject, ensure_ascii=False)}
    forms |= {form.replace("/", "\\/") for form in forms} | ({person.subject} if person.subject.isdecimal() else set())
    written = [f'"{field}":{blank}{form}' for field in sorted(fields) for blank in ("", " ") for form in sorted(forms)]
    plain = [person.subject] if len(person.subject.encode()) >= SHORTEST else []
    return [*written, *plain]


def digest(path: Path) -> str:
    """The content address that a path in the cache stands for."""
    return path.parent.name + path.name.removesuffix(".dir")


def listings(cache: Path, digests: set[str]) -> set[Path]:
    """Folder listings (`*.dir`) and run-cache entries that contain any of these objects, and listings of those."""
    if not digests:
        return set()
    found = {path for path in cache.rglob("*.dir") if any(name in path.read_text("utf-8") for name in digests)}
    wanted = digests | {digest(path) for path in found}
    runs = cache / "runs"
    if runs.is_dir():
        pattern = re.compile("|".join(sorted(wanted)))
        found |= {
            path for path in runs.rglob("*") if path.is_file() and pattern.search(path.read_text("utf-8", "replace"))
        }
    return found


def remove(project: Project, paths: Iterable[Path]) -> int:
    """Delete objects from the cache and from every configured remote; how many were removed from the cache."""
    paths = list(paths)
    cache = cache_folder(project)
    if cache is None or not paths:
        return 0
    for store in remotes(project):
        for path in paths:
            if path.is_relative_to(cache / "files"):
                target = store.oid_to_path(path.parent.name + path.name)
                if store.fs.exists(target):
                    store.fs.remove(target)
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def remotes(project: Project) -> list[Any]:
    """The object store of each DVC remote."""
    from dvc.repo import Repo  # the build's library; heavy

    with Repo(str(project.root)) as repo:
        return [repo.cloud.get_remote_odb(name) for name in repo.config["remote"]]


def only_elsewhere(project: Project) -> int:
    """How many objects the remotes have that this machine's cache has not: nobody looked into those."""
    cache = cache_folder(project)
    if cache is None:
        return 0
    here = {digest(path) for path in (cache / "files").rglob("*") if path.is_file()}
    return sum(oid.removesuffix(".dir") not in here for store in remotes(project) for oid in store.all())
