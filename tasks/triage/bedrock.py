"""
Claude on Amazon Bedrock as the analyst. The only module that knows langchain-aws and botocore.

One attempt per call: Prefect owns the retries. The model gets one tool and has to call it; what it
answers is a claim that answer.py checks. Prompts and answers never reach a log or an error.
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from tasks.model.circuit import Circuit
from tasks.model.deadline import answer_within
from tasks.model.errors import PermanentError, TransientError
from tasks.model.incidents import Incident
from tasks.model.verdicts import AnalystName, Judgement, Research, Usage
from tasks.settings import Settings
from tasks.triage.answer import Accepted, Answer, Refused, check_answer
from tasks.triage.confidential import Confidential, known_secrets
from tasks.triage.guard import Guard, Permit
from tasks.triage.prices import price_of
from tasks.triage.prompt import Prompt, policy, prompt_sha256, write_prompt

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.exceptions import BotoCoreError, ClientError
    from langchain_aws import ChatBedrockConverse
    from langchain_core.runnables import Runnable

MAX_OUTPUT_TOKENS = 1500
"""Reserved against the account's tokens per minute at every call, so not generous."""

_CONNECT_TIMEOUT_SECONDS = 10
_TRANSIENT_CODES = {
    "InternalServerException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelTimeoutException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailableException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_TRANSIENT_HTTP = {408, 424, 425, 429}
_CREDENTIALS = "check the AWS credentials of this environment"
_REMEDIES = {
    "AccessDeniedException": "grant bedrock:InvokeModel on the model to these AWS credentials",
    "ExpiredTokenException": "renew the AWS credentials of this environment",
    "ExpiredToken": "renew the AWS credentials of this environment",
    "IncompleteSignatureException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS + " and the clock of this machine",
    "MissingAuthenticationTokenException": _CREDENTIALS,
    "ResourceNotFoundException": "set MIDDLEWATCH_BEDROCK_MODEL_ID to a model of this AWS region",
    "ServiceQuotaExceededException": "ask AWS for a higher quota or use another model",
    "UnrecognizedClientException": _CREDENTIALS,
    "ValidationException": "set MIDDLEWATCH_BEDROCK_MODEL_ID to a model that takes Converse"
    " requests with tools; newer Claude models need an inference profile id",
}
_BLOCKED = {"refusal", "guardrail_intervened", "content_filtered"}
_COMPLETE = {"tool_use", "end_turn", "stop_sequence"}


_CHARACTERS_PER_TOKEN = 3
"""Of JSON with log lines; too few rather than too many, because the estimate is what is booked."""
_TOOL_TOKENS = 1500
"""What the answer's schema and the instructions around it take."""


class BedrockBusyError(TransientError):
    """Bedrock may answer later. *usage* is what the attempt took all the same."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class BedrockFailedError(PermanentError):
    """Bedrock has no verdict on this suspect. *usage* is what finding out took."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    is_transient: bool
    is_of_service: bool = True
    """Others would meet the same."""


@dataclass(slots=True)
class _Meter:
    """What went over the wire for one suspect, also where the answer could not be read."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


_meter: ContextVar[_Meter | None] = ContextVar("_meter", default=None)


class BedrockAnalyst:
    """
    Judges suspects, at most `Settings.bedrock_concurrency` at the same time.

    Build one per process and share it between threads: it holds one client, made at first use.
    The bound is here and not in the flow's task runner, which runs other tasks, too. A suspect
    that waits for its next attempt holds no place.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._price = price_of(settings)
        self._slots = threading.BoundedSemaphore(settings.bedrock_concurrency)
        self._building = threading.Lock()
        self._structured: Runnable[Any, Any] | None = None
        self._confidential = Confidential(policy(), known_secrets(settings))

    def judge(
        self, incident: Incident, research: Research | None = None, guard: Guard | None = None
    ) -> Judgement:
        """
        The model's verdict on *incident*; an unusable answer is sent back once for correction.

        Args:
            incident: What is judged.
            research: For the second look: what the web says.
            guard: Says before each call whether it may be made; None: it may.

        Raises:
            BedrockBusyError: Throttled, timed out, or out of order: try again later.
            BedrockFailedError: Not allowed, refused, two unusable answers, or the guard said no.
            TransientError: The guard could not say.
        """
        guard = guard or Guard(Circuit("Bedrock"))
        sizes = [write_prompt(incident, research, is_small=small) for small in (False, True)]
        with self._slots, _metered() as meter:
            prompt, reason, outcome = self._ask_guarded(sizes, incident, meter, guard)
            if isinstance(outcome, Refused):
                corrected = prompt.correct(outcome.problem)
                _, _, outcome = self._ask_guarded([corrected], incident, meter, guard)
        usage = self._bill(meter)
        if isinstance(outcome, Accepted):
            return Judgement(
                verdict=outcome.verdict,
                analyst=AnalystName.BEDROCK,
                analyst_reason=reason,
                model_id=self._settings.bedrock_model_id,
                prompt_sha256=prompt_sha256(),
                usage=usage,
                citations_rejected=outcome.citations_rejected,
                texts_replaced=outcome.texts_replaced,
                redacted=prompt.redacted,
            )
        # Raised here, outside any except block: no vendor error with a prompt in it is attached.
        if isinstance(outcome, Refused):
            raise BedrockFailedError(
                f"Two answers of model {self._settings.bedrock_model_id} on"
                f" {incident.source_ip} could not be used: {outcome.problem}",
                usage,
            )
        if outcome.is_transient:
            raise BedrockBusyError(outcome.message, usage)
        raise BedrockFailedError(outcome.message, usage)

    def estimate(self, prompt: Prompt) -> Usage:
        """What one call takes at most, as far as that is known before."""
        characters = len(prompt.system) + len(prompt.user)
        tokens = _TOOL_TOKENS + characters // _CHARACTERS_PER_TOKEN
        cost = self._price.cost_usd(tokens, MAX_OUTPUT_TOKENS)
        return Usage(1, tokens, MAX_OUTPUT_TOKENS, cost)

    def _ask_guarded(
        self, sizes: Sequence[Prompt], incident: Incident, meter: _Meter, guard: Guard
    ) -> tuple[Prompt, str | None, Accepted | Refused | _Failure]:
        """The largest prompt that there is budget for, why it is not the first, and the answer."""
        prompts = {self.estimate(prompt): prompt for prompt in reversed(sizes)}
        permit = guard.begin(*reversed(prompts))
        if not isinstance(permit, Permit):
            return sizes[0], None, _Failure(permit, is_transient=False)
        prompt, reason = prompts[permit.booked], None
        if permit.refused is not None:
            said = permit.refused.rstrip(".")
            reason = f"{said}, so the model saw a smaller sample of the lines."
        before = self._bill(meter)
        outcome = self._ask(prompt, incident)
        guard.end(permit, self._bill(meter) - before)
        if isinstance(outcome, _Failure) and outcome.is_of_service:
            guard.record_failure(permit, outcome.message, is_final=not outcome.is_transient)
        else:
            guard.record_success()
        return prompt, reason, outcome

    def _ask(self, prompt: Prompt, incident: Incident) -> Accepted | Refused | _Failure:
        from botocore.exceptions import BotoCoreError, ClientError
        from langchain_core.exceptions import OutputParserException

        try:
            model = self._model()
        except (BotoCoreError, ClientError, ValueError) as error:
            return self._explain(error)
        messages = [("system", prompt.system), ("human", prompt.user)]
        try:
            with _trace_only_on_purpose():
                seconds = self._settings.bedrock_timeout_seconds
                reply = answer_within(seconds, lambda: model.invoke(messages))
        except TimeoutError:
            return _Failure(
                f"Bedrock had not finished its answer after {seconds} seconds: it may be faster"
                " later; if it stays so, raise MIDDLEWATCH_BEDROCK_TIMEOUT_SECONDS.",
                is_transient=True,
            )
        except (ValidationError, OutputParserException) as error:
            # The tool's input was no JSON object, or there was no tool call.
            return Refused(_name_problem(error))
        except (BotoCoreError, ClientError) as error:
            return self._explain(error)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # langchain-aws wraps one kind of denial; all else here is a body that is no reply.
            if isinstance(error.__cause__, ClientError):
                return self._explain(error.__cause__)
            return _Failure(
                "Bedrock answered with something that is no Converse reply: if it stays so, check"
                " AWS_ENDPOINT_URL_BEDROCK_RUNTIME.",
                is_transient=True,
            )
        return self._read(reply, prompt, incident)

    def _read(
        self, reply: dict[str, Any], prompt: Prompt, incident: Incident
    ) -> Accepted | Refused | _Failure:
        stop_reason = reply["raw"].response_metadata.get("stopReason")
        if stop_reason in _BLOCKED:
            return _Failure(
                f"Model {self._settings.bedrock_model_id} declined to judge {incident.source_ip}"
                f" ({stop_reason}): review this one by hand, or set another model.",
                is_transient=False,
                is_of_service=False,
            )
        if stop_reason == "max_tokens":
            return Refused("The answer was cut off at the token limit: write shorter texts.")
        if stop_reason not in _COMPLETE:
            return Refused("The answer was malformed: call the tool once, with every field.")
        if reply["parsing_error"] is not None or reply["parsed"] is None:
            return Refused(_name_problem(reply["parsing_error"]))
        return check_answer(
            reply["parsed"], incident, prompt.lines, prompt.pages, self._confidential
        )

    def _explain(self, error: Exception) -> _Failure:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            return self._explain_refusal(error)
        if isinstance(error, BotoCoreError):
            return _explain_transport(error)
        return _Failure(
            f"langchain-aws cannot be set up for model {self._settings.bedrock_model_id}"
            f" ({type(error).__name__}): check MIDDLEWATCH_BEDROCK_MODEL_ID and AWS_REGION.",
            is_transient=False,
        )

    def _explain_refusal(self, error: "ClientError") -> _Failure:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        model_id = self._settings.bedrock_model_id
        if code in _TRANSIENT_CODES or status in _TRANSIENT_HTTP or status >= 500:
            return _Failure(
                f"Bedrock could not run model {model_id} ({code}): it may be able to later.",
                is_transient=True,
            )
        remedy = _REMEDIES.get(code, "look the code up in the Bedrock documentation")
        return _Failure(
            f"Bedrock refused the call of model {model_id} ({code}): {remedy}.",
            is_transient=False,
        )

    def _bill(self, meter: _Meter) -> Usage:
        cost = self._price.cost_usd(meter.input_tokens, meter.output_tokens)
        return Usage(meter.calls, meter.input_tokens, meter.output_tokens, cost)

    def _model(self) -> "Runnable[Any, Any]":
        with self._building:
            if self._structured is None:
                self._structured = _build_model(self._settings)
            return self._structured


def _explain_transport(error: "BotoCoreError") -> _Failure:
    from botocore.exceptions import ConnectionError as BotocoreConnectionError
    from botocore.exceptions import HTTPClientError

    kind = type(error).__name__
    if isinstance(error, BotocoreConnectionError | HTTPClientError):
        return _Failure(
            f"Bedrock did not answer ({kind}): it may later; if it stays so, check the"
            " network and the AWS region.",
            is_transient=True,
        )
    return _Failure(
        f"Bedrock cannot be called from here ({kind}): set AWS_REGION and AWS credentials,"
        " or MIDDLEWATCH_ANALYST=rules.",
        is_transient=False,
    )


def explain_unavailable() -> str | None:
    """
    Why Bedrock cannot be asked from here at all; None where it can be tried. Costs nothing.

    Credentials that AWS will not accept are not found out here: only a call tells.
    """
    from botocore.exceptions import BotoCoreError

    try:
        session = _open_session()
        if not session.region_name:
            return (
                "Bedrock is not used because no AWS region is set: set AWS_REGION, or"
                " MIDDLEWATCH_ANALYST=rules to do without it."
            )
        if os.environ.get("AWS_BEARER_TOKEN_BEDROCK"):
            return None
        credentials = session.get_credentials()
        if credentials is None or not credentials.get_frozen_credentials().access_key:
            return (
                "Bedrock is not used because there are no AWS credentials: set AWS_PROFILE or"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MIDDLEWATCH_ANALYST=rules to do"
                " without it."
            )
    except BotoCoreError as error:
        return (
            f"Bedrock is not used because the AWS credentials cannot be loaded"
            f" ({type(error).__name__}): check AWS_PROFILE and the AWS configuration files."
        )
    return None


def _open_session() -> "boto3.Session":
    import boto3

    # Unlike the other AWS SDKs, boto3 does not know AWS_REGION.
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


def _build_model(settings: Settings) -> "Runnable[Any, Any]":
    """The chat model that has to answer with an *Answer*, on clients of our own."""
    from langchain_aws import ChatBedrockConverse
    from langchain_core.runnables import RunnableLambda

    _keep_prompts_out_of_logs()
    runtime, control = _open_clients(settings)
    model_id = settings.bedrock_model_id
    # An ARN does not say whose model it is; a given provider of None is taken for an answer.
    provider: dict[str, Any] = {"provider": "anthropic"} if model_id.startswith("arn:") else {}
    model = ChatBedrockConverse(
        model_id=model_id,
        client=runtime,
        bedrock_client=control,
        # Said outright, because LANGSMITH_GATEWAY in the environment takes the place of a default.
        endpoint_url=runtime.meta.endpoint_url,
        max_tokens=MAX_OUTPUT_TOKENS,
        **provider,
    )
    structured: Any = model.with_structured_output(
        Answer, include_raw=True, method=_choose_method(model)
    )
    # Its first step asks in a pool of threads of its own, which the interpreter waits for when it
    # exits: an answer that trickles would hold the process for as long as it likes.
    raw = structured.first.steps__["raw"]
    answer: Runnable[Any, Any] = structured.last
    return RunnableLambda(lambda messages: {"raw": raw.invoke(messages)}) | answer


def _choose_method(model: "ChatBedrockConverse") -> Literal["function_calling", "json_schema"]:
    """A forced tool call where the model takes one, else its native JSON schema."""
    if "tool" in (model.supports_tool_choice_values or ()):
        return "function_calling"
    has_schema = (model.profile or {}).get("structured_output", False)
    return "json_schema" if has_schema else "function_calling"


def _open_clients(settings: Settings) -> tuple["BaseClient", "BaseClient"]:
    from botocore.config import Config

    config = Config(
        connect_timeout=min(_CONNECT_TIMEOUT_SECONDS, settings.bedrock_timeout_seconds),
        # nobody waits that long, see answer_within: it ends calls that were left alone
        read_timeout=settings.bedrock_timeout_seconds + 1,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=settings.bedrock_concurrency,
    )
    session = _open_session()
    runtime: BaseClient = session.client("bedrock-runtime", config=config)
    runtime.meta.events.register("before-send.bedrock-runtime.Converse", _count_call)
    runtime.meta.events.register("after-call.bedrock-runtime.Converse", _count_tokens)
    return runtime, session.client("bedrock", config=config)


@contextmanager
def _metered() -> Iterator[_Meter]:
    meter = _Meter()
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)


def _count_call(**_: object) -> None:
    if (meter := _meter.get()) is not None:
        meter.calls += 1


def _count_tokens(parsed: dict[str, Any], **_: object) -> None:
    usage = parsed.get("usage") or {}
    if (meter := _meter.get()) is not None:
        for field in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"):
            meter.input_tokens += max(usage.get(field) or 0, 0)
        meter.output_tokens += max(usage.get("outputTokens") or 0, 0)


def _name_problem(error: BaseException | None) -> str:
    """What was wrong with the form of an answer, without a word of the answer itself."""
    if error is None:
        return "There was no tool call: call the tool exactly once, with every field."
    cause = error if isinstance(error, ValidationError) else error.__cause__
    if not isinstance(cause, ValidationError) or cause.title != Answer.__name__:
        return "The tool's input was not a JSON object with every field of its schema."
    details = cause.errors(include_input=False, include_url=False, include_context=False)
    wrong = sorted({str(detail["loc"][0]) for detail in details if detail["loc"]})
    return f"These fields are missing or have a wrong type or value: {', '.join(wrong)}."


def _trace_only_on_purpose() -> AbstractContextManager[Any]:
    """LangSmith gets prompts and answers only if LANGSMITH_TRACING asks for it by that name."""
    from langsmith import tracing_context

    if os.environ.get("LANGSMITH_TRACING", "").lower() == "true":
        return nullcontext()
    return tracing_context(enabled=False)


def _keep_prompts_out_of_logs() -> None:
    # At DEBUG botocore prints whole requests with their Authorization header, langchain-aws prompts
    for name in ("botocore", "langchain_aws", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
