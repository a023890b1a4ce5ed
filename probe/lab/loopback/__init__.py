"""The loopback engine: an emulated censor without privileges, for one probe at a time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from probe.lab.loopback.folder import OwnedFolder
from probe.lab.loopback.order import Order, Ready
from probe.lab.rules import Preset

_READY_WITHIN_S: Final = 30.0
_GONE_WITHIN_S: Final = 5.0


class LabError(RuntimeError):
    """The lab cannot be set up; the text says what was found and what to do."""


class LoopbackLab:
    """Runs a lab in a process of its own while the context lasts.

    Args:
        preset: the line, the censor, and what is to be found.
        seed: of every chance in the emulation; the same seed repeats them.

    Attributes:
        targets_file: a targets file for the lab's services.
        environ: what to add to a probe's environment.
    """

    targets_file: Path
    environ: dict[str, str]

    def __init__(self, preset: Preset, seed: int = 1) -> None:
        if "loopback" not in preset.engines:
            raise LabError(
                f"preset {preset.name!r} needs {' or '.join(preset.engines)}, "
                "found engine 'loopback': a proxy cannot show what it does"
            )
        self._preset = preset
        self._seed = seed
        self._folder: OwnedFolder | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start the process and wait until every service answers."""
        self._folder = OwnedFolder()
        try:
            ready = await self._start(self._folder.path)
        except BaseException:  # whatever stopped it, an interrupt too, nothing stays behind
            await self._stop()
            raise
        self.targets_file = Path(ready.targets_file)
        self.environ = ready.environ
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process and remove its files."""
        await self._stop()

    async def _start(self, directory: Path) -> Ready:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A Ctrl-C is for the probe; the lab ends when the probe lets go of it.
            start_new_session=True,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        order = Order(preset=self._preset, seed=self._seed, directory=str(directory))
        stdin.write(msgspec.json.encode(order) + b"\n")
        try:
            line = await asyncio.wait_for(stdout.readline(), _READY_WITHIN_S)
        except TimeoutError:
            raise LabError(
                f"the lab was not ready within {_READY_WITHIN_S:.0f} s: is the machine overloaded?"
            ) from None
        if not line:
            raise LabError("the lab's process ended before it was ready; it says why above")
        return msgspec.json.decode(line, type=Ready)

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _GONE_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
