"""The labeller's grades of edits by coordinates, against the same written out for one attribute."""

import pytest
import torch
from lightning.pytorch import Trainer

from sat3d.callbacks import EditGrades
from sat3d.data import LabelledLatentDataModule, SampledLatents
from sat3d.generators import load_generator
from sat3d.methods import StyleAE
from sat3d.metrics import change_at_drift
from sat3d.perception import load_observer


def graded(toys, folder, **options):
    source = SampledLatents(toys.generator, scorer=toys.scorer, count=24, root=str(folder / "codes"))
    data = LabelledLatentDataModule(source, val=8, test=4, batch_size=4)
    model = StyleAE(toys.generator, reconstruction="code", hidden=[8], lr=1e-2)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "logger": False}
    grades = EditGrades(toys.scorer, **{"codes": 6, "batch": 4, **options})
    quiet |= {"default_root_dir": folder, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=1, callbacks=[grades], **quiet)
    trainer.fit(model, datamodule=data)
    return model, data, trainer


def test_grades_are_those_of_edits_of_the_first_validation_codes(toys, tmp_path):
    model, data, trainer = graded(toys, tmp_path, attributes=["smile", "hat/cap"], strengths=(1.0, 2.0))
    told = {key: float(value) for key, value in trainer.callback_metrics.items()}
    net, scorer, editor = load_generator(toys.generator), load_observer(toys.scorer), model.editor()
    batch = data.latents(data.rows["val"][:6])

    def read(codes):
        styles = net.styles(codes[:, None].expand(-1, net.num_ws, -1))
        return scorer.log_odds(net.synthesize(styles, camera=batch.camera).image)

    before, smile = read(batch.codes), scorer.column("smile")
    change = torch.stack([read(editor.edit(batch.codes, "smile", d)) - before for d in (1.0, 2.0)], dim=1)
    change[..., smile] = change[..., smile].clamp_min(0)
    wanted = change_at_drift(change, before.std(0, correction=0), smile).mean()
    assert told["val/change_at_drift/smile"] == pytest.approx(float(wanted), rel=1e-4, abs=1e-6)
    both = [told[f"val/change_at_drift/{name}"] for name in ("smile", "hat/cap")]
    assert told["val/change_at_drift"] == pytest.approx(sum(both) / 2) and told["val/change_at_drift"] > 0
    assert "val/label_error" in told and "val/reach" in told


def test_attributes_are_all_that_both_know_unless_named_and_unknown_ones_are_refused(toys, tmp_path):
    _, _, trainer = graded(toys, tmp_path, strengths=(1.0,))
    named = [key for key in trainer.callback_metrics if key.startswith("val/reach/")]
    assert len(named) == 6
    with pytest.raises(ValueError, match=r"EditGrades.attributes: hut unknown to labeller or editor, which has hat/no"):
        graded(toys, tmp_path, attributes=["hut"])
    with pytest.raises(ValueError, match="must rise"):
        EditGrades(toys.scorer, strengths=(2.0, 1.0))
