"""Rows that are dear to make: once, whatever stops or joins in."""

import multiprocessing
import os
import signal
import time
from itertools import chain

import numpy as np
import pytest

from sat3d.data.cache import Claims
from sat3d.data.rows import BLOCK, RowStore

WIDTHS = {"codes": 3, "scores": 2}


def naive(rows):
    numbers = np.array(list(rows), np.float32)
    return {"codes": np.stack([numbers, numbers**2, -numbers], 1), "scores": np.stack([numbers / 7, numbers + 0.5], 1)}


def same(store, count):
    expected = naive(range(count))
    return all(np.array_equal(array, expected[name]) for name, array in store.read(count).items())


class Counted:
    def __init__(self):
        self.blocks = []

    def __call__(self, rows):
        self.blocks.append(rows.start // BLOCK)
        return naive(rows)


def start(function, *arguments):
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments, daemon=True)
    child.start()
    return child


def make_and_die(folder, block):
    """Stand for a process that is killed in the middle of a block."""

    def compute(rows):
        if rows.start // BLOCK == block:
            os.kill(os.getpid(), signal.SIGKILL)
        return naive(rows)

    RowStore(folder, WIDTHS).make(5 * BLOCK, compute, progress=False)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def make(folder, rank, count, processes=1):
    """Make rows; at the first block wait until other processes are at theirs."""
    calls = Counted()

    def compute(rows):
        (folder / f"{rank}.at-work").touch()
        wait_for(lambda: len(list(folder.glob("*.at-work"))) >= processes)
        return calls(rows)

    RowStore(folder, WIDTHS).make(count, compute, progress=False)
    (folder / f"{rank}.txt").write_text(" ".join(map(str, calls.blocks)))


def test_rows_are_made_once_and_read_as_memory_maps(tmp_path):
    store, calls = RowStore(tmp_path / "new", WIDTHS, {"seed": 3}), Counted()
    with pytest.raises(FileNotFoundError, match="has 0 of 120 rows"):
        store.read(120)
    assert store.make(120, calls, progress=False) == 3 * BLOCK and calls.blocks == [0, 1, 2]
    assert same(store, 120) and all(isinstance(array, np.memmap) for array in store.read(120).values())
    assert store.make(120, calls, progress=False) == 0 and len(calls.blocks) == 3
    assert np.array_equal(np.load(tmp_path / "new" / "codes.npy"), naive(range(150))["codes"])
    assert '"seed": 3' in (tmp_path / "new" / "about.json").read_text()
    assert not list((tmp_path / "new" / "blocks").iterdir())


def test_more_rows_go_on_from_fewer(tmp_path):
    store, calls = RowStore(tmp_path, WIDTHS), Counted()
    store.make(60, calls, progress=False)
    before = store.read(60)
    assert store.make(230, calls, progress=False) == 3 * BLOCK
    assert calls.blocks == [0, 1, 2, 3, 4] and same(store, 230) and same(store, 60)
    assert np.array_equal(before["codes"], naive(range(60))["codes"])  # what is open stays


def test_a_killed_process_is_gone_on_after(tmp_path):
    child = start(make_and_die, tmp_path, 3)
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGKILL
    store, calls = RowStore(tmp_path, WIDTHS), Counted()
    assert len(store) == 0  # nothing half done is read
    assert store.make(5 * BLOCK, calls, progress=False) == 2 * BLOCK
    assert calls.blocks == [3, 4] and same(store, 5 * BLOCK)


def test_an_exception_leaves_what_was_done(tmp_path):
    store, calls = RowStore(tmp_path, WIDTHS), Counted()

    def fail(rows):
        if rows.start:
            raise RuntimeError("no more")
        return calls(rows)

    with pytest.raises(RuntimeError, match="no more"):
        store.make(100, fail, progress=False)
    store.make(100, calls, progress=False)
    assert calls.blocks == [0, 1] and same(store, 100)


def test_processes_share_the_blocks(tmp_path):
    children = [start(make, tmp_path, rank, 10 * BLOCK, 3) for rank in range(3)]
    for child in children:
        child.join(timeout=60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    made = [[int(block) for block in (tmp_path / f"{rank}.txt").read_text().split()] for rank in range(3)]
    assert sorted(chain.from_iterable(made)) == list(range(10)) and all(made)
    assert same(RowStore(tmp_path, WIDTHS), 10 * BLOCK)


def test_processes_that_want_different_numbers_of_rows(tmp_path):
    children = [start(make, tmp_path, rank, count, 2) for rank, count in enumerate((3 * BLOCK, 7 * BLOCK))]
    for child in children:
        child.join(timeout=60)
    assert [child.exitcode for child in children] == [0, 0] and same(RowStore(tmp_path, WIDTHS), 7 * BLOCK)


def hold(folder, number):
    folder.mkdir(exist_ok=True)
    with Claims(folder / "claims") as claims:
        claims.take(number)
        (folder / "held").touch()
        time.sleep(60)


def test_a_block_is_waited_for_and_taken_over_when_its_process_is_killed(tmp_path):
    child = start(hold, tmp_path, 1 + 0)  # block 0
    wait_for((tmp_path / "held").exists)
    with Claims(tmp_path / "claims") as claims:
        assert not claims.take(1) and claims.take(2)
    waiting = start(make, tmp_path, 0, 2 * BLOCK)
    wait_for((tmp_path / "blocks" / "00000001.npy").exists)
    waiting.join(timeout=0.5)
    assert waiting.exitcode is None and len(RowStore(tmp_path, WIDTHS)) == 0
    os.kill(child.pid, signal.SIGKILL)
    waiting.join(timeout=60)
    assert waiting.exitcode == 0 and same(RowStore(tmp_path, WIDTHS), 2 * BLOCK)


def test_damaged_arrays_are_made_again(tmp_path):
    store = RowStore(tmp_path, WIDTHS)
    store.make(100, naive, progress=False)
    whole = (tmp_path / "codes.npy").read_bytes()
    (tmp_path / "codes.npy").write_bytes(whole[:-20])
    with pytest.warns(UserWarning, match="is damaged"):
        store.make(100, naive, progress=False)
    assert (tmp_path / "codes.npy").read_bytes() == whole and same(store, 100)


def test_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="choose another root, or SAT3D_CACHE"):
        RowStore(tmp_path / "file" / "new", WIDTHS).make(1, naive, progress=False)
