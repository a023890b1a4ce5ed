"""A folder that a lab owns for as long as its process lives, and that a later lab clears away."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "throttle-lab-"
#: Until it is locked a folder has a name that no sweep looks at.
_UNLOCKED: Final = f"new-{_PREFIX}"


class OwnedFolder:
    """A fresh folder under the system's temporary one, locked by this process.

    Making one removes those whose owner was killed before it could: their locks died with it.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()))
        fresh = Path(tempfile.mkdtemp(prefix=_UNLOCKED))
        lock = _lock(fresh)
        assert lock is not None  # nobody else knows the name yet
        self._lock = lock
        self.path = fresh.rename(fresh.with_name(fresh.name.replace(_UNLOCKED, _PREFIX, 1)))

    def remove(self) -> None:
        """Delete the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(parent: Path) -> None:
    """Remove the folders of labs that no longer live.

    Args:
        parent: where they lie.
    """
    for left in parent.glob(f"{_PREFIX}*"):
        try:
            lock = _lock(left)
        except OSError:  # gone meanwhile, or another user's: not ours to remove
            continue
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder while this process lives; None while another's lock holds."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
