"""What a run is to do and where its files are: all that the pipeline must know of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from apps.common.layout import Layout, RunFiles
from apps.common.model_files import GivenWeights
from apps.common.names import EpisodeId, RunId
from apps.common.options import Options
from apps.common.resolve import Resolution


class RunPlan(BaseModel):
    """One run of an episode.

    Args:
        data_root: folder of videos and results, as it is shown to people.
        detector_model, retinaface_model, recognition_model: the settings of these names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ep_id: EpisodeId
    run_id: RunId
    resolution: Resolution
    data_root: str
    detector_model: str | None = None
    retinaface_model: str | None = None
    recognition_model: str | None = None

    @property
    def options(self) -> Options:
        return self.resolution.options

    @property
    def given_weights(self) -> GivenWeights:
        return GivenWeights(self.detector_model, self.retinaface_model)

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.data_root))

    @property
    def files(self) -> RunFiles:
        return self.layout.run(self.ep_id, self.run_id)
