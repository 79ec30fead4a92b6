"""Every change of class, on the plain generator of the sweeps: its picture is its style."""

import pytest
import torch

from sat3d.evaluation.contestants import Contestant
from sat3d.evaluation.success.protocol import classes_kept
from sat3d.evaluation.success.transitions import grade_transitions, transition_table, transition_tasks
from tests.evaluation.success.test_protocol import batch, protocol
from tests.methods.test_sweeps import Line, Reads


def graded():
    codes = batch([0.0, 0.0, 0.0], hat=[1.0, -1.0, 2.0])
    editor = Line(("hat/no", "hat/yes"))
    return grade_transitions(protocol(codes), [Contestant("line", "0", editor)], "hat")


def test_every_code_is_asked_for_every_class_that_it_does_not_show():
    odds = torch.tensor([[0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 2.0, 0.0]])
    tasks = transition_tasks(Reads(), odds, "hat")
    assert [(t.target, t.rows.tolist()) for t in tasks] == [("hat/no", [1]), ("hat/yes", [0, 2])]


def test_what_has_no_classes_is_refused_with_the_choice():
    for name in ("smile", "nose"):
        with pytest.raises(ValueError, match=f"transitions='{name}' must be categorical: choose from hat"):
            transition_tasks(Reads(), torch.zeros(1, 4), name)


def test_rows_tell_where_an_edit_started_and_the_table_counts_them_by_change():
    rows = graded()
    assert sorted((row["code"], row["source"] == row["target"]) for row in rows) == [
        (70.0, False),
        (71.0, False),
        (72.0, False),
    ]
    table = transition_table(rows)
    changes = {
        line.split(" | ")[0].strip("| "): int(line.split(" | ")[1]) for line in table.splitlines() if "→" in line
    }
    assert sorted(changes.values()) == [1, 2] and "| all | 3 |" in table and "**line**" in table


def test_a_class_is_kept_where_the_judge_sees_it_again():
    class Two(Reads):
        def __init__(self):
            super().__init__()
            self.attributes = ("hat", "coat")
            self.slices = {"hat": [slice(0, 2)], "coat": [slice(2, 5)]}
            self.columns = ("hat/no", "hat/yes", "coat/a", "coat/b", "coat/c")

    before = torch.tensor([[0.0, 1.0, 3.0, 1.0, 0.0], [0.0, 1.0, 3.0, 1.0, 0.0]])
    after = torch.tensor([[1.0, 0.0, 2.0, 1.0, 0.0], [1.0, 0.0, 2.0, 9.0, 0.0]])
    kept = classes_kept(Two(), before, after, target=0)
    assert {name: column.tolist() for name, column in kept.items()} == {"kept/coat": [1.0, 0.0]}
