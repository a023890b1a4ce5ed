"""Builds and runs the image with buildah and podman; nothing is pulled."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
BASE = "localhost/throttle-probe-base:bookworm"
IMAGE = "localhost/throttle-probe:test"
# Debian's Python stands in for the official image's: the build and the run are what is tested.
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
# What pip trusts; the build has this machine's network, but not its certificates.
CERTIFICATES = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")


def missing() -> str | None:
    """Say what this machine lacks for building and running an image; None when nothing."""
    if lacking := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"needs {', '.join(lacking)} to build and run an image"
    if os.geteuid() != 0:
        return "needs root to make a base image"
    return None


def run(*argv: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output as text."""
    return subprocess.run(
        argv, check=check, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL
    )


def make_base() -> None:
    """Bootstrap a small Debian with Python and import it as the base image."""
    bootstrap = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}")
    with subprocess.Popen((*bootstrap, "bookworm"), stdout=subprocess.PIPE) as made:
        imported = ("podman", "import", "--quiet", "-", BASE)
        subprocess.run(imported, stdin=made.stdout, check=True, capture_output=True)
    assert made.returncode == 0, "mmdebstrap could not make the base"


def build(scratch: Path) -> None:
    """Build the Dockerfile as it stands, as IMAGE.

    Args:
        scratch: An empty folder for the build's pip configuration.
    """
    if run("podman", "image", "exists", BASE).returncode != 0:
        make_base()
    pip_conf = scratch / "pip.conf"
    pip_conf.write_text("[global]\ncert = /run/host-certificates.crt\n")
    built = run(
        *("buildah", "bud", "--format", "docker", "--isolation", "chroot", "--pull-never"),
        *("--build-arg", f"BASE={BASE}", "--tag", IMAGE),
        *("--volume", f"{pip_conf}:/etc/pip.conf:ro"),
        *("--volume", f"{CERTIFICATES}:/run/host-certificates.crt:ro"),
        str(ROOT),
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]


def run_image(*command: str, volume: str = "") -> subprocess.CompletedProcess[str]:
    """Run the image with no network, no privilege and a read-only root, as compose.yaml does.

    Args:
        command: What the probe is told.
        volume: The name of the volume for /data; a throw-away one if empty.
    """
    return run(
        *("podman", "--runtime", "runc", "run", "--rm", "--no-healthcheck", "--network", "none"),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"),
        *("--security-opt", "no-new-privileges"),
        # Lower than the engine's own wish, which a machine without CAP_SYS_RESOURCE refuses.
        *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
        *(("--volume", f"{volume}:/data") if volume else ()),
        *(IMAGE, *command),
    )
