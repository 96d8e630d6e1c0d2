"""What runs Middlewatch for good runs it without a privilege, and holds no secret and no schedule."""

import configparser
import re

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

FILES = ROOT / "deployments"
COMPOSE = YAML(typ="safe").load((FILES / "compose.yaml").read_text())
DOCKERFILE = (FILES / "Dockerfile").read_text()
WRITTEN = "/var/lib/middlewatch"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_has_no_privilege_and_can_gain_none(name):
    """No root, no capability, nothing to write but its volumes and /tmp, no port but on this machine."""
    service = COMPOSE["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert int(service["user"].split(":")[0]) > 0
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode"} & service.keys()
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    mounts = [volume.rsplit(":", 2) for volume in service.get("volumes", [])]
    assert all(m[0] in COMPOSE["volumes"] or m[-1] == "ro" for m in mounts)


def test_the_database_is_reached_from_inside_only():
    """Its network leads nowhere."""
    assert COMPOSE["services"]["database"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_no_secret_is_written_down():
    """They come from the environment of whoever starts it, and .env never gets into the image."""
    variables = {
        name: value
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if re.search("PASSWORD|TOKEN|KEY|SECRET|URL", name)
    }
    assert set(re.findall(r"PASSWORD\b", str(variables)))
    for name, value in variables.items():
        if "PASSWORD" in name and name != "MARIADB_RANDOM_ROOT_PASSWORD":
            assert value.startswith("${"), name
        assert not re.search(r"://[^/@$]*:[^/@$]+@", value), name
    kept = (FILES / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in kept
    assert not [line for line in kept if line.startswith("!.")]


def test_the_image_runs_as_somebody_and_installs_what_is_pinned():
    """With hashes, in a build stage of its own; the last word on the user is not root."""
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes" in DOCKERFILE
    assert "ADD " not in DOCKERFILE


def test_the_image_holds_all_that_runs():
    """Each copied path is in the checkout and is let through to the builder."""
    kept = set((FILES / "Dockerfile.dockerignore").read_text().splitlines())
    copied = {
        path
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for path in line.split()
    }

    assert copied >= {"flows", "tasks", "prefect.yaml", "prefect.toml", "requirements.txt"}
    assert {f"!{path}" for path in copied} == {line for line in kept if line.startswith("!")}
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize(
    "variable",
    ["HOME", "PREFECT_HOME", "PREFECT_UI_STATIC_DIRECTORY", "NUMBA_CACHE_DIR",
     "MIDDLEWATCH_DATABASE_URL"],
)  # fmt: skip
def test_all_that_is_written_goes_to_the_volume(variable):
    """The root is read-only: what has another place by default has this one here."""
    [value] = re.findall(rf"\b{variable}=(\S+)", DOCKERFILE)

    assert value.removeprefix("sqlite:///").startswith(WRITTEN)
    assert f"VOLUME {WRITTEN}\n" in DOCKERFILE


def test_the_unit_writes_its_state_and_nothing_else():
    """The code is not its own: who breaks in cannot stay."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FILES / "middlewatch.service")
    service = unit["Service"]

    assert service["User"] == "middlewatch"
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == "/opt/middlewatch/.middlewatch"
    assert service["NoNewPrivileges"] == "true"
    assert service["CapabilityBoundingSet"] == ""


def test_prefect_yaml_is_the_only_place_with_a_schedule():
    """Whatever starts the worker puts on the server what is written there."""
    [command] = [c for c in COMPOSE["services"]["worker"]["command"] if "prefect" in c]

    assert "prefect --no-prompt deploy --all" in command
    for path in FILES.iterdir():
        assert not re.search(r"\b(cron|interval_seconds|schedules):", path.read_text()), path.name
