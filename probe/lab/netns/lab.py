"""The lab of namespaces: a home behind an emulated censor, with real servers beyond it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from probe.lab import world
from probe.lab.netns import plumbing, registry, servers
from probe.lab.netns.commands import LabError, missing
from probe.lab.netns.engine import Orders
from probe.lab.netns.processes import end, last_words, serve, start
from probe.lab.netns.tally import Tally
from probe.lab.rules import DnsTamper, Preset

#: AS 64496 is kept for documentation (RFC 5398), and so are the addresses of the lab.
_VANTAGE = {"PROBE_COUNTRY": "ZZ", "PROBE_ASN": "64496", "PROBE_ALLOW_BOGONS": "1"}


class NetnsLab:
    """An emulated censor between real kernels; needs root. Use it in a ``with`` statement.

    Args:
        preset: the line and the rules.
        seed: fixes every chance the middlebox takes.
    """

    def __init__(self, preset: Preset, *, seed: int = 0) -> None:
        self.preset = preset
        self.seed = seed
        self._name = ""
        self._middlebox: subprocess.Popen[bytes] | None = None
        self._undo = ExitStack()

    @property
    def folder(self) -> Path:
        """The lab's files; they go when the lab goes."""
        return registry.folder(self._name)

    @property
    def targets_file(self) -> Path:
        """What a probe in the home should measure."""
        return self.folder / "targets.toml"

    @property
    def environ(self) -> dict[str, str]:
        """What a probe in the home must find in its environment."""
        return _VANTAGE | {"SSL_CERT_FILE": str(self.folder / "ca.pem")}

    def __enter__(self) -> Self:
        """Build the lab.

        Raises:
            LabError: it cannot stand here; nothing of it stays behind.
        """
        if lack := missing():
            raise LabError(lack)
        registry.remove_dead()
        with ExitStack() as undo:
            self._name = registry.register()
            undo.callback(registry.remove, self._name)
            plumbing.lay(self._name, servers.addresses(), self.preset.line.congestion_control)
            self._write_files()
            self._start_middlebox(undo)
            self._start_servers(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove everything."""
        self._undo.close()

    def command(self, place: str, words: Sequence[str]) -> list[str]:
        """Put the words before a command that run it in ``home``, ``isp`` or ``world``."""
        return plumbing.inside(self._name, place, words)

    def run(self, words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command in the home to its end, with ``environ`` added to its environment.

        Args:
            words: program and arguments.
            options: as for ``subprocess.run``; ``env`` replaces the inherited environment.

        Returns:
            The ended process.

        Raises:
            FileNotFoundError: there is no such program.
        """
        inherited = options.pop("env", os.environ)
        if shutil.which(words[0], path=inherited.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), words[0])
        return subprocess.run(  # noqa: PLW1510, S603 - `check` is the caller's; so is the command
            self.command("home", words), env={**inherited, **self.environ}, **options
        )

    def counters(self) -> Tally:
        """Ask the middlebox what became of the packets so far.

        Returns:
            Exact counts, per direction and rule.

        Raises:
            LabError: the middlebox is gone.
        """
        assert self._middlebox is not None
        assert self._middlebox.stdin is not None
        try:
            self._middlebox.stdin.write(b"\n")
        except BrokenPipeError:
            raise self._broken() from None
        return self._heard()

    @property
    def _tampers_with_dns(self) -> bool:
        return any(isinstance(rule.effect, DnsTamper) for rule in self.preset.rules)

    def _write_files(self) -> None:
        home = registry.ETC_FOLDER / registry.namespace(self._name, "home")
        home.mkdir(parents=True)
        # A resolver takes part only where its answers are tampered with: on a lossy line it would
        # add waits that say nothing about the service. Without one, names it does not have are
        # refused at once by the home itself.
        resolver = plumbing.WORLD_ADDRESS if self._tampers_with_dns else "127.0.0.1"
        known = {} if self._tampers_with_dns else servers.names()
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in known.items())]
        (home / "hosts").write_text("\n".join(lines) + "\n")
        (home / "resolv.conf").write_text(f"nameserver {resolver}\n")
        today = datetime.now(tz=UTC).date()
        self.targets_file.write_text(world.targets_toml(today, quic=True))
        servers.write_certificates(self.folder)
        servers.write_object(self.folder, self.seed)

    def _start_middlebox(self, undo: ExitStack) -> None:
        words = [sys.executable, "-m", "probe.lab.netns.middlebox"]
        self._middlebox = start(
            self._name,
            "isp",
            words,
            self.folder / "middlebox.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        undo.callback(end, self._middlebox)
        assert self._middlebox.stdin is not None
        orders = Orders(preset=self.preset, seed=self.seed)
        self._middlebox.stdin.write(msgspec.json.encode(orders) + b"\n")
        self._heard()
        plumbing.lead_through_middlebox(self._name)

    def _start_servers(self, undo: ExitStack) -> None:
        resolver = plumbing.WORLD_ADDRESS if self._tampers_with_dns else None
        world_servers = servers.all_servers(self.folder, resolver=resolver)
        serve(self._name, self.folder, world_servers, undo)

    def _heard(self) -> Tally:
        assert self._middlebox is not None
        assert self._middlebox.stdout is not None
        line = self._middlebox.stdout.readline()
        if not line:
            raise self._broken()
        return msgspec.json.decode(line, type=Tally)

    def _broken(self) -> LabError:
        log = self.folder / "middlebox.log"
        return LabError(f"the middlebox has ended; it wrote: {last_words(log)}")
