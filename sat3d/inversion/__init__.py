"""Real pictures → w, w+ and s codes of a frozen generator, with the camera that took them.

    >>> G = load_generator("toyfaces64")
    >>> picture = prepare_picture(read_picture("head.png"), G.resolution)
    >>> (found,) = PictureInverter(G)(picture)
    >>> found.codes.save("code.safetensors", G)

| file | holds |
|---|---|
| `pictures.py`, `containers.py` | safe reading of files and uploads |
| `landmarks.py`, `alignment.py` | the crop that a generator expects |
| `spaces.py`, `pose.py`, `losses.py` | what moves, from where pictures are seen, what is compared |
| `optimization.py` | `Inverter`: Adam on codes and cameras |
| `encoder.py`, `training.py` | where it starts: an encoder, and its LightningModule |
| `tuning.py` | pivotal tuning in a private copy of the generator |
| `codes.py` | `PictureCodes`: what is found, and its file |
| `recipes.py` | `PictureInverter`: all of it by one recipe, as the command line and the page use it |
"""

from sat3d.inversion.alignment import Alignment, align_picture, crop_quad, expected_alignment, prepare_picture
from sat3d.inversion.codes import PictureCodes, load_codes, read_card
from sat3d.inversion.encoder import Encoder, EncoderConfig, load_encoder, shipped_encoder
from sat3d.inversion.landmarks import LandmarkError, Landmarks, find_landmarks, read_landmarks
from sat3d.inversion.losses import LossOptions, PictureDistance
from sat3d.inversion.optimization import InversionOptions, Inverter
from sat3d.inversion.pictures import PictureError, fit_picture, list_pictures, read_picture
from sat3d.inversion.pose import PoseOptions, view_angle
from sat3d.inversion.recipes import Inverted, PictureInverter, Recipe
from sat3d.inversion.spaces import CodeStatistics
from sat3d.inversion.training import EncoderTraining
from sat3d.inversion.tuning import TuningOptions, tune, with_tuning

__all__ = [
    "Alignment",
    "CodeStatistics",
    "Encoder",
    "EncoderConfig",
    "EncoderTraining",
    "InversionOptions",
    "Inverted",
    "Inverter",
    "LandmarkError",
    "Landmarks",
    "LossOptions",
    "PictureCodes",
    "PictureDistance",
    "PictureError",
    "PictureInverter",
    "PoseOptions",
    "Recipe",
    "TuningOptions",
    "align_picture",
    "crop_quad",
    "expected_alignment",
    "find_landmarks",
    "fit_picture",
    "list_pictures",
    "load_codes",
    "load_encoder",
    "prepare_picture",
    "read_card",
    "read_landmarks",
    "read_picture",
    "shipped_encoder",
    "tune",
    "view_angle",
    "with_tuning",
]
