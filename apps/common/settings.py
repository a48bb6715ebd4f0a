"""Where the service runs: the environment, read once by each program's entry point."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from apps.common.environment import EnvironmentSettings
from apps.common.hosts import KnownHosts
from apps.common.model_files import GivenWeights
from apps.common.options import Niceness
from apps.common.redis_url import RedisUrl
from apps.common.storage_url import StorageUrl


class HostSettings(EnvironmentSettings):
    """What API and page share: by which names they may be asked, and the API's key."""

    allowed_hosts: str = Field(
        "",
        description="Names besides those of loopback by which API and page may be asked, with "
        "commas; * allows every name.",
    )
    api_key: SecretStr | None = Field(
        None,
        min_length=8,
        description="Key that every request but /health must bring, at least 8 characters.",
    )

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: str) -> str:
        KnownHosts.parse(value)
        return value

    @property
    def hosts(self) -> KnownHosts:
        return KnownHosts.parse(self.allowed_hosts)


class Settings(HostSettings):
    """Settings of the service.

    Fields that are options of a run as well (`SCREENALYTICS_STRIDE` and so on) are read by
    `apps.common.resolve.resolve`, not here.
    """

    data_root: Path = Field(Path("data"), description="Folder of videos, runs and caches.")
    storage: str | None = Field(
        None,
        description="Where hosts share videos and runs: s3://bucket/prefix, or a folder; the data "
        "root alone where nothing is set.",
    )
    storage_cache_mb: float = Field(
        50_000,
        gt=0,
        le=1e9,
        description="So much of the data root may be videos that the storage has as well, "
        "megabytes.",
    )
    storage_refresh_s: float = Field(
        15,
        ge=1,
        le=3600,
        description="So often a server looks what is new in the storage, seconds.",
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Broker, jobs and locks.")
    detector_model: str | None = Field(
        None,
        description="A detector's .onnx file, in place of the one that comes with it or would be "
        "downloaded; for retinaface also a pack of InsightFace.",
    )
    retinaface_model: str | None = Field(
        None, description="The same for retinaface alone, where it comes first."
    )
    recognition_model: str | None = Field(
        None,
        description="dlib, a pack's name of InsightFace, or its recognition model's .onnx file, "
        "for tracks that are split and joined by faces.",
    )
    heartbeat_file: Path | None = Field(
        None, description="File that a worker touches every two seconds, for health checks."
    )
    lease_s: float = Field(
        30, ge=1, description="A worker that says nothing for so long is taken to be dead, seconds."
    )
    drain_seconds: float = Field(
        45,
        ge=0,
        le=24 * 3600,
        description="For how long a worker that is told to stop goes on with its runs, in seconds; "
        "then it hands their jobs back to the queue.",
    )
    local_nice: Niceness = Field(10, description="Niceness of local runs; 0 is normal.")
    max_local_runs: int = Field(
        2, ge=1, description="Local runs at once in one server; the others wait for their turn."
    )
    local_timeout_s: float = Field(3600, gt=0, description="Longest local run, in seconds.")
    import_folder: Path | None = Field(
        None,
        description="Folder of the server whose new videos a batch may import; none where nothing "
        "is set.",
    )
    upload_max_mb: float = Field(20_000, gt=0, le=1e9, description="Largest upload, in megabytes.")
    trash_hours: float = Field(
        24,
        ge=0,
        le=24 * 3660,
        description="For how long deleted episodes and runs can be restored, in hours.",
    )
    keep_runs: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="So many of an episode's newest completed runs stay, older ones go to the "
        "trash; all stay where nothing is set.",
    )
    keep_days: float | None = Field(
        None,
        ge=0,
        le=36_600,
        description="Runs that ended within so many days stay; with `keep_runs` a run goes where "
        "both say so.",
    )
    keep_job_days: float = Field(
        30,
        ge=0,
        le=3_660,
        description="So many days after its end the queue remembers a job or a batch.",
    )
    min_free_mb: float = Field(50, ge=0, description="Free space below which no run starts, MB.")

    @property
    def given_weights(self) -> GivenWeights:
        return GivenWeights(self.detector_model, self.retinaface_model)

    @field_validator("storage")
    @classmethod
    def _is_storage(cls, value: str | None) -> str | None:
        if not value:  # docker-compose.yml hands an empty one on
            return None
        StorageUrl.parse(value)
        return value

    @field_validator("import_folder", mode="before")
    @classmethod
    def _is_a_folder(cls, value: object) -> object:
        return None if value == "" else value  # docker-compose.yml hands an empty one on

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        RedisUrl.parse(value)
        return value
