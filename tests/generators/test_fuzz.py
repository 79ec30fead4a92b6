from benchmarks.fuzz_pickles import fuzz, seeds


def test_mutated_files_load_as_declared_or_are_refused():
    ended, wrong = fuzz(300, seed=1)
    assert wrong == []
    assert ended["unchanged files that load"] == len(seeds())
    assert ended["refused"] > 200 and ended["loaded"] > 5
