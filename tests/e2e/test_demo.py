"""The demo is about the sample logs alone; what it prints is compared in test_readme.py."""

import pytest

from flows import demo
from tasks.settings import settings


@pytest.fixture
def own_place(prefect_api, tmp_path, monkeypatch):
    """Logs and a database that are not the checkout's."""
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(demo, "DATABASE", tmp_path / "demo.db")
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    monkeypatch.setitem(demo.ALONE, "MIDDLEWATCH_DATABASE_URL", url)
    for variable in demo.ALONE:
        monkeypatch.setenv(variable, "")  # and back afterwards
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_a_demo_that_finds_nothing_shows_the_run(own_place, capsys):
    """It ended with an IndexError, and without the reason. A .env changes nothing."""
    (own_place / ".env").write_text("MIDDLEWATCH_RULES_FILE=/nowhere.yml\nTAVILY_API_KEY=key\n")

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert ended.value.code == 0
    assert "0 listed = 0 done" in capsys.readouterr().out
    assert settings().rules_file is None
    assert settings().tavily_api_key is None
