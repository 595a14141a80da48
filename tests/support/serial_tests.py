"""A pytest plugin: a test marked `serial` has the machine to itself while other tests run in parallel workers.

Every test holds one lock while it runs: shared, or alone where it is marked. Who wants it alone first takes a
second lock that everybody passes through, so that it does not wait for a pause that never comes. These are locks of
POSIX (`lockf`): a child process does not inherit them.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of pytest-timeout: who waits here has not begun
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with turn(locks(item.config), alone=item.get_closest_marker("serial") is not None):
        return (yield)


def locks(config: pytest.Config) -> Path:
    """The folder of the two locks, which all workers of a session share."""
    if FOLDER not in config.stash:
        factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
        config.stash[FOLDER] = factory.getbasetemp().parent  # xdist: a worker's own folder lies in the session's
    return config.stash[FOLDER]


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """For as long as the block lasts: nobody alone, or nobody but us."""
    with (folder / "queue.lock").open("a+") as queue, (folder / "tests.lock").open("a+") as tests:
        fcntl.lockf(queue, fcntl.LOCK_EX)
        fcntl.lockf(tests, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.lockf(queue, fcntl.LOCK_UN)
        yield
