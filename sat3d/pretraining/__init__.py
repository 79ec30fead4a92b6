"""LightningModules that make what `checkpoints/` ships from the embedded world.

| file | makes |
|---|---|
| `generator.py` | the tri-plane generator |
| `clip.py` | the text-image model, by open_clip's own loss |
| `observers.py` | attribute predictors (labeller and judge), part parser, identity embedder |
| `base.py` | what the trainings of observers share: optimiser, figures, export |
| `truth.py` | what a picture shows, and what of it an observer is held to |
| `augment.py`, `figures.py` | changes to training pictures; figures of merit |

Each is run through the door: `lightning fit --config experiments/pretraining/clip.yaml`, and graded anew by
`lightning test` with the same config.
"""
