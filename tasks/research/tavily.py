"""Tavily, the search engine. The only module that knows its client and what that can raise."""

import threading
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from tasks.model.deadline import answer_within
from tasks.model.errors import ConfigurationError, PermanentError, TransientError
from tasks.model.text import cut, make_visible
from tasks.model.verdicts import Reference

if TYPE_CHECKING:
    from tavily import TavilyClient

TIMEOUT_SECONDS = 20
MAX_RESULTS = 5
CONTENT_LIMIT = 500
_TITLE_LIMIT = 200
_URL_LIMIT = 500
_TRANSIENT_HTTP = {408, 425, 429}


class TavilySearch:
    """
    Searches the web. Share one between threads: each gets a client of its own.

    No error of it holds the key, and none has an error of the client attached: those hold the
    request with its headers.
    """

    def __init__(self, api_key: SecretStr, api_url: str) -> None:
        """
        Refuse an empty key: the client would search without one, slower, and say nothing.

        Raises:
            ConfigurationError: The key is empty.
        """
        if not api_key.get_secret_value().strip():
            raise ConfigurationError(
                "TAVILY_API_KEY is empty: set it to a key, or unset it to turn web research off."
            )
        self._api_key = api_key
        self._api_url = api_url
        self._local = threading.local()

    def search(self, query: str) -> tuple[Reference, ...]:
        """
        The best pages for *query*, at most five; their texts are untrusted.

        Raises:
            TransientError: Too many requests, or Tavily is down, slow, or answers nonsense.
            PermanentError: The key is refused, its plan is used up, or the query is refused.
        """
        outcome = self._try(query)
        if isinstance(outcome, Exception):
            # Outside the except block: the client's error is not attached as the context.
            raise outcome
        return outcome

    def _try(self, query: str) -> tuple[Reference, ...] | TransientError | PermanentError:
        from requests import HTTPError, RequestException
        from tavily import errors

        search = partial(
            self._client().search,
            query,
            search_depth="basic",
            max_results=MAX_RESULTS,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            return tuple(_read_results(answer_within(TIMEOUT_SECONDS, search)))
        except errors.UsageLimitExceededError:
            return TransientError("Tavily answered 429, too many requests: try again later.")
        except errors.InvalidAPIKeyError:
            return PermanentError("Tavily refused TAVILY_API_KEY (401): set it to a valid key.")
        except errors.ForbiddenError:
            return PermanentError(
                "Tavily refused the search (403, 432 or 433): the key's plan is used up or does"
                " not allow it; look at the plan in the Tavily console."
            )
        except errors.BadRequestError:
            return PermanentError("Tavily refused the query as invalid (400).")
        except (errors.TimeoutError, TimeoutError):
            del self._local.client  # the call that is late may still be using it
            return TransientError(
                f"Tavily did not answer within {TIMEOUT_SECONDS} seconds: try again later."
            )
        except HTTPError as error:
            return _explain_status(error.response.status_code)
        except RequestException as error:
            return TransientError(
                f"Tavily cannot be reached or broke off its answer ({type(error).__name__}):"
                " check TAVILY_API_URL and the network."
            )
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            # The client believes every 200 to be an object of results.
            return TransientError(
                f"Tavily answered with something that is no search result"
                f" ({type(error).__name__}): if it stays so, check TAVILY_API_URL."
            )

    def _client(self) -> "TavilyClient":
        from tavily import TavilyClient

        if not hasattr(self._local, "client"):
            self._local.client = TavilyClient(
                self._api_key.get_secret_value(), api_base_url=self._api_url
            )
        return self._local.client


def _explain_status(status: int) -> TransientError | PermanentError:
    if status >= 500 or status in _TRANSIENT_HTTP:
        return TransientError(f"Tavily answered {status}: try again later.")
    return PermanentError(f"Tavily answered {status}: check TAVILY_API_URL.")


def _read_results(answer: dict[str, Any]) -> list[Reference]:
    references = []
    for result in answer["results"]:
        url = str(result["url"]).strip()
        if _is_web_address(url):
            references.append(
                Reference(
                    title=cut(make_visible(str(result.get("title") or "")), _TITLE_LIMIT),
                    url=url,
                    content=cut(make_visible(str(result.get("content") or "")), CONTENT_LIMIT),
                )
            )
    return references[:MAX_RESULTS]


def _is_web_address(url: str) -> bool:
    if len(url) > _URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
