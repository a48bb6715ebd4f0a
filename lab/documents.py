"""Writes the documents that are made from the models: `python -m lab.documents`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from apps.common.config import model_registry, run_defaults
from apps.common.environment import FILE_SUFFIX
from apps.common.option_flags import flag
from apps.common.options import ENV_PREFIX, RUN_OPTIONS, EnvironmentRequest, RunOption
from apps.common.settings import Settings
from apps.common.webhooks import WebhookSettings
from apps.ui.glossary import GLOSSARY
from apps.ui.settings import PageSettings
from lab.paths import CHECKOUT

_MADE = "<!-- Made by `python -m lab.documents`; edits are lost. -->"

# What is read from the environment beside settings and options.
OTHER_VARIABLES = {
    "SCREENALYTICS_MAX_CPU_THREADS": "Most compute threads of any run on this host; the cores that "
    "the process may use are a limit in any case.",
    "SCREENALYTICS_CONFIG_DIR": "Folder with a `models.toml`, `pipeline.toml` or `profiles.toml` "
    "of your own, each in place of the package's.",
    "SCREENALYTICS_GIT_SHA": "The code's revision, for `GET /version`, where there is no Git "
    "checkout to ask. The image sets it.",
    "INSIGHTFACE_HOME": "Folder of InsightFace's packs (`models/NAME/*.onnx`); `~/.insightface` by "
    "default.",
    "FLOWER_BASIC_AUTH": "`user:password` of `screenalytics flower`; made from the API key by "
    "default.",
    "AWS_ENDPOINT_URL": "Address of the storage, where that is not Amazon's own "
    "([storage](storage.md)); also `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT`.",
    "AWS_REGION": "Region of the storage's bucket; also `AWS_DEFAULT_REGION`.",
    "AWS_ACCESS_KEY_ID": "Key for the storage, with `AWS_SECRET_ACCESS_KEY` and perhaps "
    "`AWS_SESSION_TOKEN`.",
    "AWS_PROFILE": "Profile of AWS's files that has the keys where the environment has none.",
    "AWS_CONFIG_FILE": "File of profiles; `~/.aws/config` by default.",
    "AWS_SHARED_CREDENTIALS_FILE": "File of keys; `~/.aws/credentials` by default.",
    "PORT": "Port of the API that `screenalytics up` starts.",
    "PAGE_PORT": "Port of the page that `screenalytics up` starts.",
    "MPLCONFIGDIR": "Matplotlib's folder, for reports of comparisons; a temporary one by default.",
    "SCREENALYTICS_WORKERS": "How many workers `docker-compose.cluster.yml` starts, 2 by default",
    "SCREENALYTICS_CPUS": "Cores of API and worker each, 2 by default (`docker-compose.yml`)",
    "SCREENALYTICS_STOP_GRACE": "How long a worker may take to stop, `60s` by default: the seconds "
    "of a drain and 15 more (`docker-compose.yml`)",
    "SCREENALYTICS_MEMORY": "Memory of API and worker each, `4g` by default (`docker-compose.yml`)",
    "SCREENALYTICS_TEST_DATA": "Folder of the real videos that tests and measurements use.",
    "SCREENALYTICS_TEST_S3": "Address (`http://…`) of a server of S3 that tests use in place of "
    "moto's, with `SCREENALYTICS_TEST_S3_KEY` and `SCREENALYTICS_TEST_S3_SECRET`.",
    "SCREENALYTICS_WRITE_DOCS": "`1`: the security tests write their table into "
    "`docs/security.md`.",
    "SCREENALYTICS_SCREENSHOTS": "Folder for pictures that the browser tests take; "
    "none by default.",
}


def main() -> None:
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(CHECKOUT))


def documents() -> dict[Path, str]:
    """Each document's text, by its file."""
    folder = CHECKOUT / "docs"
    return {
        folder / "options.md": options(),
        folder / "settings.md": settings(),
        folder / "glossary.md": glossary(),
    }


def options() -> str:
    """Every option of a run."""
    profiles = run_defaults().profiles
    rows = []
    for option in RUN_OPTIONS.values():
        name, is_switch = option.name, option.kind is bool
        if option.by.environment_only:
            asked = "(by the environment only)"
        elif is_switch:
            asked = f"`{flag(name)}`, `{flag('no_' + name)}`"
        else:
            asked = f"`{flag(name)} {option.by.metavar}`"
        usual = [_usual(option, profile) for profile in profiles]
        rows.append([f"`{name}`", asked, f"`{option.variable}`", _values(option), *usual])
    meanings = [f"- `{o.name}`: {o.label}. {o.help}" for o in RUN_OPTIONS.values()]
    table = _table(["field", "flag", "variable", "values", *profiles], rows)
    return "\n".join(
        [
            "# Options of a run",
            _MADE,
            "",
            "What one run does. A value comes from the request (the API's field, the command "
            "line's flag), else from the environment, else from the profile and the other tables "
            "of `apps/config/profiles.toml`; then the host's limits cap it. The run's report names "
            "the source of each (`sources`).",
            "",
            *meanings,
            "",
            f"{len(rows)} options. The last columns are what a profile makes of them where nobody "
            "decides:",
            "",
            *table,
            "",
            f"A request that names no profile has that of its device: {_profiles_of_devices()}. "
            f"Aliases of devices: {_aliases()}.",
            "",
        ]
    )


def glossary() -> str:
    """What the words mean that page and documents use."""
    words = [f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items()]
    return "\n".join(
        ["# Words", _MADE, "", "The page tells the same where a word stands.", "", *words, ""]
    )


def settings() -> str:
    """Every variable that is read, and that is no option of a run."""
    models = (Settings, WebhookSettings, PageSettings)
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    rows = [
        [f"`{ENV_PREFIX}{name.upper()}`", _readers(name), _setting(field), field.description or ""]
        for name, field in fields.items()
    ]
    others = [[f"`{name}`", meaning] for name, meaning in OTHER_VARIABLES.items()]
    return "\n".join(
        [
            "# Settings",
            _MADE,
            "",
            "Where the service runs: read from the environment once, when a program starts. "
            "`service` is the API, the worker and the command line.",
            "",
            *_table(["variable", "read by", "default", "meaning"], rows),
            "",
            "Each of these may be a file instead, as for secrets: "
            f"`{ENV_PREFIX}API_KEY{FILE_SUFFIX}` names a file that holds the key. The file wins.",
            "",
            f"`{ENV_PREFIX}<OPTION>` is an option of every run that does not say otherwise: "
            "see [options](options.md).",
            "",
            "Beside them:",
            "",
            *_table(["variable", "meaning"], others),
            "",
        ]
    )


def _table(titles: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines]


def _usual(option: RunOption, profile: str) -> str:
    tables = run_defaults()
    if option.by.usual == "profile":
        return _shown(getattr(tables.profiles[profile], option.name))
    if option.by.usual == "default":
        return _shown(getattr(tables.defaults, option.name))
    if option.by.usual == "detector":
        return ", ".join(f"{n} {d.det_thresh:g}" for n, d in model_registry().detectors.items())
    if option.name == "det_size":
        return f"{tables.det_size.default} (coreml {tables.det_size.coreml})"
    return "by device"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _values(option: RunOption) -> str:
    schema = EnvironmentRequest.model_json_schema()["properties"][option.name]
    return " or ".join(_kind(kind) for kind in schema["anyOf"] if kind.get("type") != "null")


def _kind(schema: dict[str, Any]) -> str:
    """One kind of value, of a JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_kind(kind) for kind in schema["anyOf"] if kind.get("type") != "null")
    words = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if words:
        return ", ".join(f"`{word}`" for word in words)
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if schema["type"] == "string":
        return "a name"
    number = "whole number" if schema["type"] == "integer" else "number"
    return f"{number}, {schema['minimum']:g} to {schema['maximum']:.6g}"


def _readers(name: str) -> str:
    if name in WebhookSettings.model_fields:
        return "API"
    in_service, on_page = name in Settings.model_fields, name in PageSettings.model_fields
    return "service, page" if in_service and on_page else "service" if in_service else "page"


def _setting(field: FieldInfo) -> str:
    if field.default in (None, ""):
        return "none"
    is_secret = SecretStr in (field.annotation, *get_args(field.annotation))
    return "none" if is_secret else f"`{field.default}`"


def _profiles_of_devices() -> str:
    return ", ".join(f"{d} {profile}" for d, profile in run_defaults().profile_for_device.items())


def _aliases() -> str:
    return ", ".join(f"`{a}` ({d})" for a, d in run_defaults().device_aliases.items())


if __name__ == "__main__":
    main()
