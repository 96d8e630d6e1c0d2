"""What does not answer is given up, and what answers now and then is not."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

from tasks.model.circuit import FAILURES, PATIENCE_SECONDS, Circuit, circuit_of_run


class Clock:
    """Goes on when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def make():
    clock = Clock()
    return Circuit("Bedrock", clock=clock), clock


def fail(circuit, clock, *, after=0.0, times=1, is_final=False):
    for _ in range(times):
        began_at = clock.now
        clock.now += after
        circuit.record_failure("It did not answer.", began_at, is_final=is_final)


def test_what_hangs_is_given_up_with_the_third_call():
    """Each took long enough; the reason names the service and what happened."""
    circuit, clock = make()

    fail(circuit, clock, after=60, times=FAILURES - 1)
    before = circuit.reason
    fail(circuit, clock, after=60)

    assert before is None
    assert "Bedrock was given up" in circuit.reason
    assert "It did not answer." in circuit.reason


def test_a_short_throttling_is_waited_out():
    """Many quick failures in a moment are no reason; the same for longer are."""
    circuit, clock = make()

    fail(circuit, clock, times=50)
    soon = circuit.reason
    clock.now += PATIENCE_SECONDS
    fail(circuit, clock)

    assert soon is None
    assert circuit.reason is not None


def test_one_denial_among_throttlings_is_waited_out():
    """Two that were busy and one that was denied, at the same moment, closed the service to all."""
    circuit, clock = make()

    fail(circuit, clock, times=FAILURES - 1)
    fail(circuit, clock, is_final=True)

    assert circuit.reason is None


def test_what_will_not_change_is_not_waited_for():
    """A denied account is denied for everybody."""
    circuit, clock = make()

    fail(circuit, clock, times=FAILURES, is_final=True)

    assert circuit.reason is not None


def test_an_answer_begins_a_new_row():
    """Two failures, an answer, two failures: it is still asked."""
    circuit, clock = make()

    for _ in range(5):
        fail(circuit, clock, after=60, times=FAILURES - 1)
        circuit.record_success()

    assert circuit.reason is None


def test_given_up_is_given_up():
    """A late answer does not open it again, and the reason stays the same sentence."""
    circuit, clock = make()
    fail(circuit, clock, after=60, times=FAILURES)
    reason = circuit.reason

    circuit.record_success()
    fail(circuit, clock, after=60, times=FAILURES)

    assert circuit.reason == reason


def test_threads_that_ask_at_once_share_a_circuit(monkeypatch):
    """Each had one of its own: what failed for one was no failure for the others."""
    begin = Circuit.__init__

    def begin_slowly(*arguments):
        sleep(0.01)
        begin(*arguments)

    monkeypatch.setattr(Circuit, "__init__", begin_slowly)
    barrier = Barrier(4)

    def ask(_):
        barrier.wait()
        return circuit_of_run("Bedrock", "a run of four threads")

    with ThreadPoolExecutor(4) as pool:
        circuits = set(pool.map(ask, range(4)))

    assert len(circuits) == 1
