"""Settings that go through environment variables: how a field is declared, written and read."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar, Self

from modelwright_server.contract.traffic import REVISION


class SettingsError(ValueError):
    """An environment variable is missing or has a value that cannot be used; the text names it."""


def text(value: str) -> str:
    """Take any text but the empty one."""
    if not value:
        message = "must not be empty"
        raise ValueError(message)
    return value


def optional_text(value: str) -> str:
    """Take any text."""
    return value


def optional_address(value: str) -> str:
    """Take the base URL of a server, or nothing."""
    if value and (not value.startswith(("http://", "https://")) or not value.isprintable() or " " in value):
        message = "must be an http:// or https:// address, or empty"
        raise ValueError(message)
    return value


def switch(value: str) -> bool:
    """Take True or False."""
    if value not in {"True", "False"}:
        message = "must be True or False"
        raise ValueError(message)
    return value == "True"


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in [low, high]; ASCII digits only."""

    def parse(value: str) -> int:
        digits = value.isascii() and value.isdigit() and len(value) <= len(str(high))
        if not digits or not low <= int(value) <= high:
            message = f"must be a whole number from {low} to {high}"
            raise ValueError(message)
        return int(value)

    return parse


def setting(name: str, parse: Callable[[str], Any], default: Any = MISSING) -> Any:  # noqa: ANN401 - a dataclass field
    """Declare a settings field read from the environment variable ``name``."""
    return field(default=default, metadata={"env": name, "parse": parse})


def optional_revision(value: str) -> str:
    """Take a revision, or nothing."""
    if value and not REVISION.fullmatch(value):
        message = "must be ten hex digits, or empty"
        raise ValueError(message)
    return value


class Settings:
    """Settings that go through environment variables, one variable for each field."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_env(self) -> dict[str, str]:
        """Return the variables that make `from_env` give this value again.

        Values equal to the default are left out, so that a new setting does not change the
        pods that already run.

        Raises:
            SettingsError: a value would be refused by `from_env`.
        """
        env = {
            item.metadata["env"]: str(getattr(self, item.name))
            for item in fields(self)
            if item.default is MISSING or getattr(self, item.name) != item.default
        }
        self.from_env(env)
        return env

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings from ``env``; other variables are ignored.

        Raises:
            SettingsError: names every variable that is missing or wrong, and what it must be.
        """
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for item in fields(cls):
            name = item.metadata["env"]
            if name not in env:
                if item.default is MISSING:
                    wrong.append(f"{name} is not set")
                continue
            try:
                values[item.name] = item.metadata["parse"](env[name])
            except ValueError as error:
                wrong.append(f"{name}={env[name]!r} {error}")
        if wrong:
            raise SettingsError("; ".join(wrong))
        return cls(**values)
