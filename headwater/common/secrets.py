# SPDX-License-Identifier: Apache-2.0
"""Encryption at rest: a directory of Fernet keys, the newest encrypts, all decrypt.

Key files are named by ascending numbers. To change keys, add one (`KeyRing.add_key`), encrypt what
is stored again, then remove the older files; running processes notice new files by themselves.
"""

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from headwater.common.errors import ConfigurationError, SecretUnreadable


class KeyRing:
    """Encrypts and decrypts JSON objects with the keys of one directory.

    Raises ConfigurationError when the directory has no readable, valid key.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._lock = threading.Lock()
        self._changed_at = 0
        self._reload()

    @classmethod
    def ensure(cls, directory: Path) -> "KeyRing":
        """The key ring of `directory`, made with one fresh key when there is none."""
        if not cls.exists(directory):
            cls.add_key(directory)
        return cls(directory)

    @staticmethod
    def exists(directory: Path) -> bool:
        """Whether the directory holds any key."""
        return bool(_key_files(directory))

    @staticmethod
    def add_key(directory: Path) -> Path:
        """Write a fresh key, readable by its owner only, that encrypts from now on."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Written under another name first: a running service never reads half a key.
            descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=directory)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(Fernet.generate_key())
                return _publish(Path(draft), directory)
            finally:
                os.unlink(draft)
        except OSError as error:
            raise _unusable(directory, f"cannot write a key: {error.strerror}") from error

    def encrypt(self, value: Mapping[str, Any]) -> str:
        """The encrypted text of a JSON object, by the newest key in the directory now."""
        self._notice_changes()
        return self._fernet.encrypt(json.dumps(value).encode()).decode()

    def decrypt(self, text: str) -> dict[str, Any]:
        """The JSON object behind `text`.

        Reads the directory once more when no known key fits; raises SecretUnreadable after that.
        """
        try:
            clear = self._fernet.decrypt(text.encode())
        except InvalidToken:
            self._reload()
            try:
                clear = self._fernet.decrypt(text.encode())
            except InvalidToken:
                raise SecretUnreadable(
                    f"No key in {self.directory} decrypts a stored value; "
                    "copy the key files that wrote it to this host."
                ) from None
        value: dict[str, Any] = json.loads(clear)
        return value

    def renew(self, text: str) -> str:
        """`text` decrypted and encrypted again with the newest key. Raises SecretUnreadable."""
        return self.encrypt(self.decrypt(text))

    def _notice_changes(self) -> None:
        # Adding or removing a file changes the time of its directory.
        with contextlib.suppress(OSError):
            if self.directory.stat().st_mtime_ns != self._changed_at:
                self._reload()

    def _reload(self) -> None:
        with self._lock:
            # The time first: a key that is added after it was read is noticed by the next look.
            with contextlib.suppress(OSError):
                self._changed_at = self.directory.stat().st_mtime_ns
            self._fernet = self._load()

    def _load(self) -> MultiFernet:
        files = sorted(_key_files(self.directory), key=lambda file: int(file.name), reverse=True)
        if not files:
            raise _unusable(self.directory, "holds no key; run 'headwater-manage secrets create'")
        try:
            return MultiFernet([Fernet(file.read_bytes()) for file in files])
        except OSError as error:
            raise _unusable(self.directory, f"cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise _unusable(self.directory, f"holds a file that is no key: {error}") from error


def _publish(draft: Path, directory: Path) -> Path:
    """Give a finished key the next number; two that do so at once get two numbers."""
    while True:
        number = max((int(file.name) for file in _key_files(directory)), default=0) + 1
        path = directory / str(number)
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            continue
        return path


def _key_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [file for file in directory.iterdir() if file.name.isdigit()]


def _unusable(directory: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"[secrets] key_directory = {directory}: {reason}.")
