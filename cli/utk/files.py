"""Files that commands write where the user says: never over one that is there, unless that was asked for."""

from pathlib import Path

from ultrathink_api.errors import Refused

ANOTHER = "name another with -o"


def create(path: Path, text: str, *, over: bool = False, fix: str = ANOTHER) -> None:
    """Writes a new file; `fix` is what to do where there is one already."""
    try:
        with path.open("w" if over else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused.of("UTK0607", field=str(path), message=f"{path} exists already", fix=fix) from None
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise Refused.of("UTK0602", field=str(path), message=message, fix=ANOTHER) from None
