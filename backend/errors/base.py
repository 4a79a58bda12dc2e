"""The base of all errors that a user can meet, and the one for what nobody foresaw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

_BY_CODE: dict[str, type[StudioError]] = {}


@dataclass(eq=False)
class StudioError(Exception):
    """Base of all errors worded for the user. Subclasses are dataclasses whose fields are the facts."""

    code: ClassVar[str] = "unexpected"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            assert cls.code not in _BY_CODE, f"two errors share the code {cls.code}"
            _BY_CODE[cls.code] = cls

    @property
    def facts(self) -> dict[str, Any]:
        """The error's fields by name: plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.code} {self.facts}"

    def to_dict(self) -> dict[str, Any]:
        """``{"code": …, "facts": {…}}``, the form errors have in events and exit files."""
        return {"code": self.code, "facts": self.facts}

    @staticmethod
    def from_dict(document: dict[str, Any]) -> StudioError:
        """The error that ``to_dict`` described; an unknown code gives `Unexpected`."""
        kind = _BY_CODE.get(document.get("code", ""))
        if kind is None:
            return Unexpected(detail=str(document))
        return kind(**document.get("facts", {}))

    @classmethod
    def all_codes(cls) -> list[str]:
        """Every code that exists, sorted: what the locale files must word."""
        return sorted(_BY_CODE)

    def with_traceback_of(self, cause: BaseException) -> Self:
        """This error, chained to the foreign error it translates."""
        self.__cause__ = cause
        return self


@dataclass(eq=False)
class Unexpected(StudioError):
    """A fault of the studio itself; the log has the traceback."""

    code = "unexpected"
    detail: str
