"""What may stand in the table of systems."""

from dataclasses import replace

import pytest

from asd_ray.models import SYSTEMS
from asd_ray.models.sgram import MelSettings


def test_a_log_mel_of_another_number_of_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="a log-mel of 626 frames a clip; its hop must make 313"):
        replace(SYSTEMS["tastgram"], mel=MelSettings(hop=256))
