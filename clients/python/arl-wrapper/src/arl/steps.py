"""The steps of a task, as models; dicts of the same form do as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    work_dir: str | None = Field(
        default=None, validation_alias=AliasChoices("work_dir", "workDir"), serialization_alias="workDir"
    )
    container: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that the Task has."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Command(_Step):
    """Runs a program; no shell is involved unless it is named.

    Attributes:
        command: The program and its arguments.
        env: Environment variables, on top of the container's and the sandbox's.
    """

    type: Literal["Command"] = "Command"
    command: list[str] = Field(min_length=1)
    env: dict[str, str] | None = None


class FilePatch(_Step):
    """Writes a file, or applies a unified diff to it.

    Attributes:
        path: The file; relative to the work directory.
        content: All of its new content.
        encoding: ``base64`` for content that is not text.
        patch: A unified diff, in place of content.
        mode: Octal digits, such as ``0755``.
    """

    type: Literal["FilePatch"] = "FilePatch"
    path: str
    content: str | None = None
    encoding: Literal["text", "base64"] | None = None
    patch: str | None = None
    mode: str | None = None


Step = Command | FilePatch | Mapping[str, Any]


def plain(steps: Sequence[Step]) -> Any:
    """The steps as the Task has them. What is no list is left to the API server, which names what is wrong."""
    if not isinstance(steps, Sequence):
        return steps
    return [s.as_dict() if isinstance(s, _Step) else dict(s) for s in steps]
