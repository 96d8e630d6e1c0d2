"""What a user would pick instead, on the same log: GoAccess, and CrowdSec's replay."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

_CROWDSEC = Path("/etc/crowdsec/config.yaml")


def goaccess(log: Path) -> list[str]:
    """The command that counts everything GoAccess counts in a Combined log."""
    return [
        "sh",
        "-c",
        f"exec goaccess '{log}' --log-format=COMBINED --no-progress -o json >/dev/null",
    ]


@contextmanager
def crowdsec(log: Path) -> Iterator[list[str]]:
    """
    The command that replays a log against the collections that are enabled on this machine.

    It needs a local API to write to. This one has a database and a port of its own, so that what is
    found in a benchmark is not blocked by the CrowdSec that guards the machine.
    """
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory, "config.yaml")
        credentials = Path(directory, "credentials.yaml")
        address = f"127.0.0.1:{_free_port()}"
        yaml = YAML()
        settings = yaml.load(_CROWDSEC)
        _check_data(settings["config_paths"], yaml)
        settings["common"] |= {"daemonize": False, "log_media": "stdout", "log_level": "error"}
        settings["db_config"] |= {"db_path": str(Path(directory, "crowdsec.db")), "use_wal": True}
        settings["api"]["client"]["credentials_path"] = str(credentials)
        settings["api"]["server"] |= {"listen_uri": address, "log_level": "error"}
        settings["api"]["server"].pop("online_client", None)
        settings["prometheus"]["enabled"] = False
        yaml.dump(settings, configuration)
        register = f"machines add benchmark --auto --file {credentials} --url http://{address}"
        subprocess.run(
            ["cscli", "-c", str(configuration), *register.split()], check=True, capture_output=True
        )
        replay = f"crowdsec -c {configuration} -no-capi -type nginx".split()
        yield [*replay, "-dsn", f"file://{log}"]


def _check_data(paths: Mapping[str, str], yaml: YAML) -> None:
    """Replaying takes far longer where a scenario's word list is missing, as one does on Debian 12."""
    for path in Path(paths["config_dir"], "scenarios").iterdir():
        named = [each["dest_file"] for part in yaml.load_all(path) for each in part.get("data", ())]
        for name in named:
            if not Path(paths["data_dir"], name).exists():
                raise SystemExit(
                    f"CrowdSec's {path.name} needs {name} in {paths['data_dir']}: put it there, or"
                    " CrowdSec would be measured too slow."
                )


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
