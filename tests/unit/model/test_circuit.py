"""What does not answer is given up, and what answers now and then is not."""

from tasks.model.circuit import FAILURES, PATIENCE_SECONDS, Circuit


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
