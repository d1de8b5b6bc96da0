"""The settings that come from the environment or a `.env` file.

The fields of `Settings` in capitals after `LTE_`, such as `LTE_MODEL`. Opens nothing and makes no folders. An option on
a command line, where there is one, wins over these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(ValueError):
    """A setting that cannot be used: its name, what was found and what was expected."""


class Settings(BaseSettings):
    """Build it with `read_settings`, whose errors are for people."""

    model_config = SettingsConfigDict(
        env_prefix="LTE_", env_ignore_empty=True, env_file=".env", extra="ignore", frozen=True
    )

    model: str = "lte-nano"
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Path("data")  # "~" in a file is no shell's
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    threads: Annotated[int, Field(ge=1)] | None = None
    device: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    attention: str | None = None
    max_megabytes: Annotated[float, Field(ge=0.01, le=1_000)] = 25
    max_megapixels: Annotated[float, Field(ge=0.01, le=1_000)] = 50
    max_pixels: Annotated[int, Field(ge=28 * 28, le=10**9)] | None = None
    crop_max_pixels: Annotated[int, Field(ge=28 * 28, le=10**9)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 120
    relative_boxes: bool | None = None
    trust_anchors: Path | None = None
    db_url: str | None = None
    keys: str = ""

    @property
    def database_url(self) -> str:
        """Where the review is kept: `db_url`, or a SQLite file in the data directory."""
        return self.db_url or f"sqlite:///{quote(str(self.data_dir / 'review.db'))}"


def read_settings() -> Settings:
    """The settings of this process's environment. Raises SettingsError."""
    try:
        return Settings(_env_file=_env_file())  # type: ignore[call-arg]
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(
            f"The file .env in this folder cannot be read ({problem}). Save it as UTF-8 text that you may read, or "
            "remove it: settings can come from the environment, too."
        ) from problem
    except ValidationError as problem:
        wrong = "; ".join(
            f"LTE_{str(error['loc'][0]).upper()} is {error['input']!r}: {error['msg']}" for error in problem.errors()
        )
        raise SettingsError(f"{wrong}. Correct it in the environment.") from problem


def _env_file() -> str | None:
    """None where there is no such file, nor anything else that this user could read."""
    try:
        return ".env" if Path(".env").is_file() else None
    except OSError:  # a folder that this user may not look into
        return None
