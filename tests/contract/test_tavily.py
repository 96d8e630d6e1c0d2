"""tavily-python against a search API that answers well, badly, or not at all."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from tasks.model.errors import ConfigurationError, PermanentError, TransientError
from tasks.model.verdicts import Reference
from tasks.research import tavily as adapter
from tasks.research.tavily import TavilySearch
from tests.servers import tavily as stand_in
from tests.servers.tavily import KEY, Reply, TavilyServer, found, page, trickled


@pytest.fixture
def server():
    with TavilyServer() as running:
        yield running


@pytest.fixture
def web(server, monkeypatch):
    monkeypatch.setattr(adapter, "TIMEOUT_SECONDS", 1)
    return TavilySearch(SecretStr(KEY), server.url)


def test_a_search_finds_pages(server, web):
    """One request with the key, at the basic rate, gives references."""
    server.script(found(page("https://example.com/a", "Title", "Content")))

    references = web.search("a query")

    assert references == (Reference("Title", "https://example.com/a", "Content"),)
    assert server.queries == ["a query"]
    assert server.searches[0].body["search_depth"] == "basic"


def test_nothing_found_is_an_answer(server, web):
    """Not an error."""
    server.script(found())

    assert web.search("a query") == ()


def test_pages_are_made_fit_to_keep(server, web):
    """Only web addresses; hidden characters visible; texts cut; no more than were asked for."""
    good = page("http://example.com/b", "T\u202eitle", "x\x00" * 5000)
    bad = [
        page(url)
        for url in (
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.com/",
            "https://",
            "//example.com/",
            "https://exa mple.com/",
            "https://example.com/\n",
            "https://exаmple.com/",  # a Cyrillic letter
            "https://[broken/",
            "https://example.com/" + "x" * 600,
        )
    ]
    server.script(found(*bad, good, page("https://example.com/c", None, None)))

    references = web.search("a query")

    assert [r.url for r in references] == [
        "https://example.com/",
        "http://example.com/b",
        "https://example.com/c",
    ]
    assert references[1].title == "T\\u202eitle"
    assert len(references[1].content) <= 500
    assert "\x00" not in references[1].content
    assert (references[2].title, references[2].content) == ("", "")


@pytest.mark.parametrize(
    ("behaviour", "kind", "word"),
    [
        (stand_in.too_many(), TransientError, "429"),
        (stand_in.failed(500), TransientError, "500"),
        (stand_in.failed(503), TransientError, "503"),
        (lambda _s: Reply(502, b"<html>"), TransientError, "502"),
        (stand_in.delayed(5, found()), TransientError, "did not answer"),
        (stand_in.hung_up(), TransientError, "cannot be reached"),
        (stand_in.body("null"), TransientError, "AttributeError"),
        (stand_in.body("[]"), TransientError, "no search result"),
        (stand_in.body('{"results": "x"}'), TransientError, "TypeError"),
        (stand_in.body('{"results": [{}]}'), TransientError, "KeyError"),
        (stand_in.body("<html>hello"), TransientError, "JSONDecodeError"),
        (stand_in.body('{"results": ['), TransientError, "broke off"),
        (lambda _s: Reply(204), TransientError, "if it stays so"),
        (stand_in.failed(400), PermanentError, "400"),
        (stand_in.unauthorized(), PermanentError, "401"),
        (stand_in.failed(403), PermanentError, "403"),
        (stand_in.plan_used_up(), PermanentError, "432"),
        (stand_in.failed(433), PermanentError, "433"),
        (stand_in.failed(422), PermanentError, "422"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_are_ours_and_hold_no_key(server, web, behaviour, kind, word):
    """Transient or permanent, one sentence, with nothing of the client attached, after one try."""
    server.script(behaviour)

    with pytest.raises(kind) as caught:
        web.search("a query")

    error = caught.value
    assert word in str(error)
    assert str(error).endswith(".")
    assert (error.__context__, error.__cause__) == (None, None)
    assert KEY not in f"{error} {error!r} {vars(error)}"
    assert len(server.searches) == 1


def test_a_refused_connection_is_transient():
    """Nobody listens there now."""
    with TavilyServer() as gone:
        url = gone.url
    with pytest.raises(TransientError, match="cannot be reached"):
        TavilySearch(SecretStr(KEY), url).search("a query")


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_refused(key):
    """The client would search without a key, and nobody would know."""
    with pytest.raises(ConfigurationError, match="TAVILY_API_KEY"):
        TavilySearch(SecretStr(key), "https://api.tavily.com")


def test_a_wrong_key_is_the_users_business(server):
    """It says what to set and not what it was."""
    with pytest.raises(PermanentError, match="TAVILY_API_KEY") as caught:
        TavilySearch(SecretStr("tvly-wrong"), server.url).search("a query")

    assert "tvly-wrong" not in str(caught.value)


def test_threads_share_a_search_but_no_client(server, web):
    """Each thread has a session of its own: sharing one is not promised by the client."""
    clients, together = set(), threading.Barrier(4)

    def search(n):
        together.wait(timeout=10)
        web.search(f"query {n}")
        together.wait(timeout=10)
        clients.add(id(web._client()))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(search, range(4)))

    assert len(clients) == 4
    assert sorted(server.queries) == [f"query {n}" for n in range(4)]
    assert KEY not in repr(vars(web))


def test_an_answer_that_trickles_is_given_up_in_time(server, web):
    """Every byte comes within the time-out of the socket, and all of them never do."""
    server.script(trickled(found(page("https://example.com/a"))), found())
    began_at = time.monotonic()

    with pytest.raises(TransientError, match="did not answer within 1 seconds"):
        web.search("a query")

    assert time.monotonic() - began_at < 3
    assert web.search("a query") == ()
