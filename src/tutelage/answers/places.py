"""Where answers lie: a folder on this machine, or any URL that fsspec can open."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import fsspec

from tutelage.errors import AnswersError
from tutelage.files import replacing, write_atomically
from tutelage.locks import one_at_a_time
from tutelage.trust import Unpacked, inside, read_sha256

__all__ = ["PACKED", "Place"]

PACKED = ".gz"
"""How the names of compressed files end."""

_FILES = ("file", "local", "memory", "zip", "tar")
_WEB = ("http", "https", "hf", "ftp", "sftp", "ssh")
_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci")
_PROTOCOLS = frozenset((*_FILES, *_WEB, *_BUCKETS))
"""Through which answers are read; others of fsspec run templates, open caches or talk to programs."""

_CACHE = Path("~/.cache/tutelage/answers").expanduser()


class Place:
    """A folder whose files are there whole or not at all.

    Args:
        url: a path, or a URL such as `s3://bucket/answers`.
        cache: where files of another machine are copied to be read.
    """

    def __init__(self, url: str | Path, *, cache: Path = _CACHE) -> None:
        self.url = str(url)
        _check_protocols(self.url)
        try:
            self._system, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError, OSError) as error:
            raise AnswersError(f"answers at {self.url} cannot be reached: {error}") from error
        self.local = Path(root) if "file" in self._system.protocol else None
        self._root = root.rstrip("/")
        self._cache = cache / hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.local / name).exists() if self.local else self._system.exists(self._at(name))

    def size(self, name: str) -> int:
        """A file's bytes."""
        return (self.local / name).stat().st_size if self.local else int(self._system.size(self._at(name)))

    def read(self, name: str) -> bytes:
        """A file's content."""
        return (self.local / name).read_bytes() if self.local else self._system.cat_file(self._at(name))

    def write(self, name: str, content: bytes) -> None:
        """Put a file there in one step.

        Raises:
            OutputError: there is no room, or no right to.
        """
        if self.local:
            write_atomically(self.local / name, content)
            return
        self._system.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
        self._system.pipe_file(self._at(name), content)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        if self.local:
            (self.local / name).unlink(missing_ok=True)
        elif self.exists(name):
            self._system.rm_file(self._at(name))

    def path(self, name: str, *, sha256: str) -> Path:
        """A file as one of this machine: itself, or a copy of this content that is made once.

        A file that is compressed is unpacked in the copy.
        """
        packed = name.endswith(PACKED)
        inside(name, f"the name of a file of {self.url}", AnswersError)
        if self.local and not packed:
            return self.local / name
        read_sha256(sha256, f"the checksum of {name} of {self.url}", AnswersError)
        copy = self._cache / sha256 / Path(name).name.removesuffix(PACKED)
        with one_at_a_time(copy.with_name(f".{copy.name}.lock")):
            if not _as_it_was_made(copy):
                with replacing(copy) as beside:
                    if packed:
                        self._unpack(name, beside)
                    else:
                        self._fetch(name, beside, sha256)
                write_atomically(_noted(copy), _digest(copy).encode())
        return copy

    def _fetch(self, name: str, to: Path, sha256: str) -> None:
        self._system.get_file(self._at(name), str(to))
        if _digest(to) != sha256:
            raise AnswersError(
                f"{self.url}/{name} is damaged: its SHA-256 is another one than when it was written; "
                "`tutelage label … --repair` makes it again"
            )

    def _unpack(self, name: str, to: Path) -> None:
        try:
            with (
                self._system.open(self._at(name), "rb", compression="gzip") as source,
                open(to, "xb") as target,
            ):
                Unpacked(f"{self.url}/{name}", self.size(name)).copy(source, target)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise AnswersError(
                f"{self.url}/{name} cannot be unpacked ({error}); `tutelage label … --repair` makes it again"
            ) from error

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def _check_protocols(url: str) -> None:
    """Refuse ways to read that do more than read; they may stand one behind the other, `zip://a::s3://b`."""
    for part in url.split("::") if "::" in url else [url] if "://" in url else []:
        protocol = part.partition("://")[0]
        if ("://" in part or "/" not in part) and protocol not in _PROTOCOLS:
            raise AnswersError(
                f"answers at {url} cannot be reached by {protocol!r}; expected a folder, or one of "
                f"{', '.join(sorted(_PROTOCOLS))}"
            )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _noted(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}.sha256")


def _as_it_was_made(copy: Path) -> bool:
    """Whether a copy is there, and has the content that was noted when it was made."""
    try:
        return _noted(copy).read_text("ascii", "replace") == _digest(copy)
    except OSError:
        return False
