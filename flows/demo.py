"""The whole pipeline on the bundled sample logs: no account, no server, no network."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "tests" / "data" / "logs"
DATABASE = ROOT / ".middlewatch" / "demo.db"
ALONE = {
    "MIDDLEWATCH_DATABASE_URL": f"sqlite:///{DATABASE}",
    "MIDDLEWATCH_ANALYST": "rules",
    # set to nothing, each counts as not set, whatever .env says
    "MIDDLEWATCH_FORMATS_FILE": "",
    "MIDDLEWATCH_RULES_FILE": "",
    "MIDDLEWATCH_SYSLOG_TIMEZONE": "",
    "MIDDLEWATCH_TRUSTED_PROXIES": "",
    "TAVILY_API_KEY": "",
    "TELEGRAM_BOT_TOKEN": "",
}
SHOWN_ALERTS = 2
QUERY = "select summary from incidents"


def main() -> None:
    """Scan the samples into a new database, and show what a run shows and sends."""
    for path in DATABASE.parent.glob(f"{DATABASE.name}*"):
        path.unlink()
    os.environ |= ALONE  # settings are read when they are first asked for

    from rich.console import Console

    from flows.command import outcome_of
    from flows.local_server import local_server
    from flows.scan import scan_logs
    from flows.terminal import print_alert, print_run
    from tasks.notify.message import RunLink, digest_message, incident_message

    console = Console()
    console.print(f"Scanning {LOGS.relative_to(ROOT)} with a Prefect server of its own ...")
    with local_server():
        run = outcome_of(scan_logs(str(LOGS), return_state=True))
    if isinstance(run, Exception):
        raise run
    link = RunLink(run.name)
    if run.incidents:  # none: the run below says why
        console.rule("What Telegram would have sent: more than ten incidents are one digest")
        print_alert(digest_message(run.incidents, link), console)
        console.rule("One by one, they look like this")
    for conclusion in run.incidents[:SHOWN_ALERTS]:
        print_alert(incident_message(conclusion, link), console)
    console.rule("The run")
    database = DATABASE.relative_to(ROOT)
    print_run(
        run,
        console,
        (
            f"incidents     sqlite3 {database} '{QUERY}'",
            "run history   make server, then http://127.0.0.1:4200",
            "your logs     .venv/bin/python -m flows.scan /var/log/nginx",
        ),
    )
    sys.exit(0 if not run.failures else 1)


if __name__ == "__main__":
    main()
