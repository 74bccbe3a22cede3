"""The rows of one run of preparation: made by as many processes as asked for, set aside where they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medssl.errors import CODES, InputError, IntegrityError, MedsslError, ResourceError
from medssl.identifiers import hashed
from medssl.manifest import Manifest, Record
from medssl.store.build import build_entry, key_of, one_row
from medssl.store.entry import entry_is_sound
from medssl.store.files import replace_file
from medssl.store.jobs import cores, fitting_jobs, free_memory, processes
from medssl.store.rows import record_name
from medssl.store.settings import StoreSettings
from medssl.store.source import source_of

Progress = Callable[[int, int, str], None]
"""Called with how many parts are done, how many there are in all, and what is being done."""

QUARANTINE_FILE = "quarantine.json"
MAX_BAD = 0.1
"""Share of scans that may be set aside where nothing else is asked for; one scan always may."""


MOST_THREADS = 8
"""Threads that sum up files: more would wait for the same disk."""


def silent(done: int, total: int, text: str) -> None:
    """The progress that tells nobody."""


@dataclass
class Preparation:
    """What a run of ``prepare`` did.

    Args:
        built: entries that were made.
        reused: entries that were there and sound.
        quarantined: rows that were set aside: line, the manifest's path, its keyed hash, code and its meaning, stage,
            and the error with the path (which ``quarantine.json`` leaves out).
    """

    built: int = 0
    reused: int = 0
    quarantined: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A row whose source has been looked at.

    Args:
        record: the manifest's row.
        content: digest of the source's bytes.
        stamp: digest of its sizes and times.
    """

    record: Record
    content: str
    stamp: str


class Work:
    """The rows of one run: which still stand, and what was done.

    Args:
        manifest: the scans.
        entries: folder of the entries.
        continue_on_error: set refused scans aside.
        progress: told after every part.
        done: filled with what was done.
        jobs: processes; None for as many as processors and memory allow.
    """

    def __init__(
        self,
        manifest: Manifest,
        entries: Path,
        continue_on_error: bool,
        progress: Progress,
        done: Preparation,
        jobs: int | None = 1,
    ) -> None:
        self.done = done
        self._jobs = jobs
        self._manifest = manifest
        self._entries = entries
        self._continue = continue_on_error
        self._progress = progress
        self._bad: set[str] = set()

    def standing(self, found: Sequence[Found]) -> list[Found]:
        """The rows that have not been set aside."""
        return [item for item in found if record_name(item.record) not in self._bad]

    def each(self, items: Sequence[Any], stage: str, text: str, function: Callable[[Any], Any]) -> list[Any]:
        """A function of every item, in order; rows whose source is refused are set aside or end the run.

        Several run at a time: what reads and sums up files does so outside of Python's lock.
        """
        results = []
        # scans that are read are large: as many at a time as processes were asked for, and no guess
        many = min(MOST_THREADS, cores()) if self._jobs is None else self._jobs
        with ThreadPoolExecutor(1 if stage == "read" and self._jobs is None else many) as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                for count, (item, future) in enumerate(zip(items, futures, strict=True)):
                    try:
                        results.append(future.result())
                    except (InputError, IntegrityError) as error:
                        self._set_aside(item if isinstance(item, Record) else item.record, error, stage)
                    self._progress(count + 1, len(items), text)
            finally:
                pool.shutdown(cancel_futures=True)
        return results

    def build(self, found: Sequence[Found], settings: StoreSettings) -> None:
        """Make every entry that is missing or damaged, each once however many rows share it."""
        tasks: dict[str, list[Found]] = {}
        for item in found:
            tasks.setdefault(key_of(item.content, item.record, settings), []).append(item)
        names = [self._entries / key for key in tasks]
        sound = self.each(names, "store", "verifying the store", entry_is_sound)
        missing = {key: items for (key, items), whole in zip(tasks.items(), sound, strict=True) if not whole}
        self.done.reused += len(tasks) - len(missing)
        with closing(self._built(missing, settings)) as built:
            for count, (key, error) in enumerate(built):
                if error is None:
                    self.done.built += 1
                else:
                    for item in missing[key]:
                        self._set_aside(item.record, error, "read")
                self._progress(count + 1, len(missing), "preparing scans")

    def _built(
        self, missing: Mapping[str, Sequence[Found]], settings: StoreSettings
    ) -> Generator[tuple[str, MedsslError | None]]:
        single = {key: one_row(self._manifest, items[0].record) for key, items in missing.items()}
        jobs = min(len(single), self._fitting(missing) if self._jobs is None else self._jobs)
        if jobs <= 1:
            for key, manifest in single.items():
                yield key, _try_build(manifest, key, self._entries, settings)
            return
        with processes(jobs) as pool:
            futures = {
                pool.submit(_try_build, manifest, key, self._entries, settings): key for key, manifest in single.items()
            }
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise ResourceError(
                    "a preparing process died", path=self._entries, code="memory", hint="fewer jobs need less memory"
                ) from error

    def _fitting(self, missing: Mapping[str, Sequence[Found]]) -> int:
        sizes = [source_of(self._manifest, items[0].record).size() for items in missing.values()]
        return fitting_jobs(sizes, cores(), free_memory())

    def _set_aside(self, record: Record, error: MedsslError, stage: str) -> None:
        if not self._continue:
            raise error
        self._bad.add(record_name(record))
        # the path is the manifest's own, relative to the data's root: nothing that the manifest does not say itself
        facts = {"line": record.line, "file": record.image, "record": hashed(record_name(record))}
        note = {**facts, "code": error.code, "stage": stage}
        self.done.quarantined.append({**note, "meaning": CODES.get(error.code, ""), "error": str(error)})

    def finish(self, max_bad: float | None, out: Path) -> None:
        """Write down what was set aside and refuse a run that lost too much."""
        bad, total = len(self.done.quarantined), len(self._manifest.records)
        if not bad:
            (out / QUARANTINE_FILE).unlink(missing_ok=True)
            return
        # the error holds the path as this machine knows it: it is shown, not kept
        notes = [{name: note[name] for name in note if name != "error"} for note in self.done.quarantined]
        replace_file(out / QUARANTINE_FILE, (json.dumps(notes, indent=1) + "\n").encode())
        # one broken scan of seven is no broken data set
        most = max(MAX_BAD * total, 1) if max_bad is None else max_bad * total
        if bad > most or bad == total:
            raise InputError(
                f"{bad} of {total} scans were refused, at most {MAX_BAD if max_bad is None else max_bad:.0%} may be",
                path=out / QUARANTINE_FILE,
                code="quarantine",
                hint="the file says which and why",
            )


def _try_build(manifest: Manifest, key: str, entries: Path, settings: StoreSettings) -> MedsslError | None:
    """Build an entry; a refused scan is an answer, anything else an error."""
    try:
        build_entry(manifest, key, entries, settings)
    except (InputError, IntegrityError) as error:
        return error
    return None
