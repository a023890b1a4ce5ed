"""The image as a volunteer runs it: no privilege, a read-only root, one volume."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import engine
import pytest

# The image is built in the first test's set-up.
pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

PROBE_UID = 10001


@pytest.fixture(scope="module", autouse=True)
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if reason := engine.missing():
        pytest.skip(reason)
    engine.build(tmp_path_factory.mktemp("build"))
    yield
    engine.run("podman", "rmi", "--force", engine.IMAGE)


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"throttle-probe-test-{uuid.uuid4().hex[:8]}"
    engine.run("podman", "volume", "create", name, check=True)
    yield name
    engine.run("podman", "volume", "rm", "--force", name)


def test_the_image_explains_itself():
    told = engine.run_image("--help")

    assert told.returncode == 0, told.stderr
    assert "Usage: probe" in told.stdout


def test_a_run_without_a_network_exits_3_and_keeps_the_record_in_the_volume(volume):
    command = ("run", "--targets", "/etc/probe/targets.toml", "--yes", "--json")
    ran = engine.run_image(*command, volume=volume)

    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "The line is down: " in ran.stderr
    where = ("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", volume)
    mount = Path(engine.run(*where, check=True).stdout.strip())
    (run_file,) = mount.glob("new/*.jsonl")
    assert run_file.stat().st_uid == PROBE_UID
    assert '"failure"' in run_file.read_text()


def test_consent_given_once_is_remembered_in_the_volume(volume):
    refused = engine.run_image("run", volume=volume)
    engine.run_image("consent", "--yes", volume=volume)
    agreed = engine.run_image("run", volume=volume)

    assert (refused.returncode, agreed.returncode) == (2, 3), refused.stderr + agreed.stderr
    assert "no consent is recorded" in refused.stderr


def test_the_image_is_unprivileged_and_stops_as_on_ctrl_c():
    (image,) = json.loads(engine.run("podman", "inspect", engine.IMAGE, check=True).stdout)

    assert image["User"] == f"{PROBE_UID}:{PROBE_UID}"
    assert image["Config"]["StopSignal"] in ("SIGINT", "2")
    assert image["Healthcheck"]["Test"] == ["CMD", "probe", "health"]
    assert "/data" in image["Config"]["Volumes"]
    assert image["Labels"]["org.opencontainers.image.licenses"] == "BSD-3-Clause"
