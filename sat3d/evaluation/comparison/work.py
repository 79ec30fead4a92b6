"""The work of a comparison: units on disk that a stopped run does not do again, and processes that share them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cached_property, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from sat3d.evaluation.comparison.pictures import Album, write_album, write_sources
from sat3d.evaluation.comparison.plan import Entry, Plan, contestant_of
from sat3d.evaluation.comparison.protocol import MatchedProtocol, Outcome
from sat3d.evaluation.comparison.truth import drift_agreement, progress_agreement
from sat3d.evaluation.roster import find_run, slug
from sat3d.evaluation.rows import with_order
from sat3d.methods.base import CARD, WEIGHTS
from sat3d.modules import import_modules
from sat3d.perception import load_clip
from sat3d.visualization import replacing


class Desk:
    """Do units of work, in this process.

    Args:
        plan: of the comparison.
        folder: for results.
        device: where to compute.
        fingerprint: of the plan; work that was done under another is done again.
    """

    def __init__(self, plan: Plan, folder: Path, device: str, fingerprint: str) -> None:
        self.plan, self.folder, self.device, self.fingerprint = plan, folder, device, fingerprint
        self._load = lru_cache(maxsize=2)(lambda entry: contestant_of(entry, plan, device))

    @cached_property
    def protocol(self) -> MatchedProtocol:
        """The protocol; the unedited codes are looked at when it is first needed."""
        return self.plan.protocol(self.device)

    def edits(self, entry: Entry, attribute: str) -> None:
        """Edit all codes by one attribute."""
        path = self.unit(entry, attribute)
        if self.read(path, entry) is None:
            outcome = self.protocol.compare(self._load(entry), attribute)
            self._write(path, entry, outcome)

    def order(self, entry: Entry) -> None:
        """Try the order of two edits: each attribute with the next one."""
        path = self.folder / "units" / entry.place / "order.json"
        stamp = self._stamp(entry)
        if path.is_file() and json.loads(path.read_text())["stamp"] == stamp:
            return
        rows = self.rows(entry)
        strengths = {(str(row["attribute"]), int(float(row["code"]))): float(row["strength"]) for row in rows}
        names = self.plan.attributes
        pairs = zip(names, (*names[1:], names[0]), strict=True) if len(names) > 1 else ()
        one = self._load(entry)
        found = {a: self.protocol.order(one, a, b, strengths, self.plan.order) for a, b in pairs}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(json.dumps({"stamp": stamp, "found": found}))

    def pictures(self, entry: Entry, album: Album) -> None:
        """Draw what the report shows of a method."""
        rows = self.rows(entry)
        write_album(self.protocol, self._load(entry), rows, album, self.folder)

    def sources(self, album: Album) -> None:
        """Draw what the report's edits start from."""
        write_sources(self.protocol, album, self.folder)

    def truth(self) -> dict[str, list[dict[str, float | str]]]:
        """Ask which measures agree with the world's truth on made-up edits."""
        path = self.folder / "units/truth.json"
        if path.is_file() and (told := json.loads(path.read_text()))["stamp"] == self.fingerprint:
            return told["found"]  # type: ignore[no-any-return]
        clip = None if self.plan.clip is None else load_clip(self.plan.clip).to(self.device)
        asked = (self.protocol, self.plan.attributes, clip, self.plan.truth)
        found = {"drift": drift_agreement(*asked), "progress": progress_agreement(*asked)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(json.dumps({"stamp": self.fingerprint, "found": found}))
        return found

    def facts(self, entry: Entry) -> dict[str, str]:
        """Return what an editor costs; see `Contestant.facts`."""
        one = self._load(entry)
        labels = None if one.labels is None else one.labels(self.protocol.log_odds)
        return replace(one, values=labels).facts(self.protocol.codes)

    def rows(self, entry: Entry) -> list[dict[str, float | str]]:
        """Return the rows of all attributes that are done."""
        found = [self.read(self.unit(entry, name), entry) for name in self.plan.attributes]
        return [row for outcome in found if outcome is not None for row in outcome.rows]

    def outcome(self, entry: Entry) -> Outcome:
        """Return what became of all codes and attributes, with the order of edits where that was tried.

        Raises:
            RuntimeError: if something is missing.
        """
        found = [self.read(self.unit(entry, name), entry) for name in self.plan.attributes]
        done = [outcome for outcome in found if outcome is not None]
        if len(done) < len(found):
            raise RuntimeError(f"{entry.method}, seed {entry.seed}: not all attributes are done")
        whole = Outcome.together(done)
        path = self.folder / "units" / entry.place / "order.json"
        if path.is_file() and (told := json.loads(path.read_text()))["stamp"] == self._stamp(entry):
            order = {a: {int(i): value for i, value in values.items()} for a, values in told["found"].items()}
            whole.rows = with_order(whole.rows, order)
        return whole

    def unit(self, entry: Entry, attribute: str) -> Path:
        """Return the file of a unit."""
        return self.folder / "units" / entry.place / f"{slug(attribute)}.safetensors"

    def read(self, path: Path, entry: Entry) -> Outcome | None:
        """Read a unit; `None` if it is missing, damaged, or of another plan or editor."""
        try:
            with safe_open(path, framework="pt") as file:
                told = file.metadata() or {}
                if told.get("stamp") != self._stamp(entry):
                    return None
                tensors = {key: file.get_tensor(key).float() for key in ("change", "moved", "drift", "features")}
        except (FileNotFoundError, SafetensorError, OSError):
            return None
        return Outcome(json.loads(told["rows"]), **tensors)

    def _write(self, path: Path, entry: Entry, outcome: Outcome) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {k: getattr(outcome, k).contiguous() for k in ("change", "moved", "drift", "features")}
        with replacing(path) as partial:
            save_file(tensors, partial, metadata={"stamp": self._stamp(entry), "rows": json.dumps(outcome.rows)})

    def _stamp(self, entry: Entry) -> str:
        files = [find_run(entry.run).editor / name for name in (WEIGHTS, CARD)]
        return " ".join([self.fingerprint, *(_digest(path, path.stat().st_mtime_ns) for path in files)])


@lru_cache(maxsize=256)
def _digest(path: Path, changed: int) -> str:
    """Return a hash of an editor's weights, or of what its card says that it does with them."""
    content = path.read_bytes()
    if path.name == CARD:
        card = json.loads(content)
        content = json.dumps([card["editor"], card["config"]], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


# Processes ------------------------------------------------------------------------------------------------------------

_DESK: list[Desk] = []


def _sit_down(plan: Plan, folder: Path, device: str, fingerprint: str, threads: int, modules: Sequence[str]) -> None:
    import_modules(modules)
    torch.set_num_threads(threads)
    _DESK[:] = [Desk(plan, folder, device, fingerprint)]


def _do(verb: str, *words: Any) -> Any:
    with torch.no_grad():
        return getattr(_DESK[0], verb)(*words)


class Office:
    """Share units of work among processes of one thread each; with one process they are done here.

    What comes out does not depend on how many there are.

    Args:
        plan: of the comparison.
        folder: for results.
        jobs: processes.
        device: where to compute.
        modules: that the processes import first.
    """

    def __init__(
        self, plan: Plan, folder: Path, jobs: int = 1, device: str = "cpu", modules: Sequence[str] = ()
    ) -> None:
        self.fingerprint = plan.fingerprint()
        self.desk = Desk(plan, folder, device, self.fingerprint)
        self._pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            settings = (plan, folder, device, self.fingerprint, 1, tuple(modules))
            self._pool = ProcessPoolExecutor(jobs, get_context("spawn"), _sit_down, settings)

    def __enter__(self) -> Office:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def all(self, verb: str, work: Sequence[tuple[Any, ...]], what: str) -> list[Any]:
        """Do a verb of the desk for all words, with a bar; return its answers in order."""
        answers: list[Any] = [None] * len(work)
        with tqdm(total=len(work), desc=what, unit="unit") as bar:
            for number, answer in self._answers(verb, work):
                answers[number] = answer
                bar.update()
        return answers

    def _answers(self, verb: str, work: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        if self._pool is None:
            for number, words in enumerate(work):
                with torch.no_grad():
                    yield number, getattr(self.desk, verb)(*words)
            return
        futures: dict[Future[Any], int] = {self._pool.submit(_do, verb, *words): n for n, words in enumerate(work)}
        for future in as_completed(futures):
            yield futures[future], future.result()


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
