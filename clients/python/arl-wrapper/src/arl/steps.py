"""The steps of a task, as models; dicts of the same form do as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field


class _Step(BaseModel):
    # An input may be the value of a variable.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = ""
    work_dir: str | None = Field(
        default=None, validation_alias=AliasChoices("work_dir", "workDir"), serialization_alias="workDir"
    )
    container: str | None = None
    user: str | None = None
    on_error: Literal["Stop", "Continue"] | None = Field(
        default=None, validation_alias=AliasChoices("on_error", "onError"), serialization_alias="onError"
    )

    def as_dict(self) -> dict[str, Any]:
        """The form that the Task has."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Command(_Step):
    """Runs a program, without a shell unless the program is one.

    Attributes:
        command: The program and its arguments.
        env: Environment variables; they override those of the container and of the sandbox.
        stdin: The content of its standard input.
        stdin_encoding: ``base64`` for stdin that is not text.
        stdin_file: A file in the sandbox as its standard input.
    """

    type: Literal["Command"] = "Command"
    command: list[str] = Field(min_length=1)
    env: dict[str, str] | None = None
    stdin: str | None = None
    stdin_encoding: Literal["text", "base64"] | None = Field(
        default=None,
        validation_alias=AliasChoices("stdin_encoding", "stdinEncoding"),
        serialization_alias="stdinEncoding",
    )
    stdin_file: str | None = Field(
        default=None, validation_alias=AliasChoices("stdin_file", "stdinFile"), serialization_alias="stdinFile"
    )


class FilePatch(_Step):
    """Writes a file, or applies a unified diff to it.

    Attributes:
        path: The file; relative to the work directory. None: a patch that names its files itself.
        content: The whole new content.
        encoding: ``base64`` for content that is not text.
        patch: A unified diff, in place of content.
        fuzz: How many lines of context at the ends of a hunk may differ.
        mode: Octal digits, such as ``0755``.
    """

    type: Literal["FilePatch"] = "FilePatch"
    path: str | None = None
    content: str | None = None
    encoding: Literal["text", "base64"] | None = None
    patch: str | None = None
    fuzz: int | None = Field(default=None, ge=0, le=2)
    mode: str | None = None


Step = Command | FilePatch | Mapping[str, Any]


def plain(steps: Sequence[Step]) -> Any:
    """The steps as the Task has them. None is left to the API server, which names what is wrong, as for arl-env."""
    if steps is None:
        return steps
    if not isinstance(steps, Sequence) or isinstance(steps, str | bytes | bytearray):
        raise TypeError(f"steps must be a list of steps, and not {type(steps).__name__}")
    for i, step in enumerate(steps):
        if not isinstance(step, _Step | Mapping):
            raise TypeError(f"steps[{i}] must be a dict, a Command or a FilePatch, and not {type(step).__name__}")
        for key, value in step.items() if isinstance(step, Mapping) else ():
            if isinstance(value, bytes | bytearray):
                raise TypeError(f"steps[{i}].{key} must be text, and not bytes: give it in base64, with its encoding")
    return [s.as_dict() if isinstance(s, _Step) else dict(s) for s in steps]
