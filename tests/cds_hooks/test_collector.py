"""The collector rests while a large chart is worked on, and goes on whatever comes of it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cds_hooks import routes
from cds_hooks.collector import collector_paused
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

HOOK = "/cds-services/meam-risk"


def test_the_collector_goes_on_after_the_block_and_after_a_fault() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), collector_paused():
        raise KeyError
    assert gc.isenabled()


def test_a_block_in_another_thread_does_not_wait_for_the_pause() -> None:
    entered = threading.Event()

    def enter() -> None:
        with collector_paused():
            entered.set()

    with collector_paused():
        other = threading.Thread(target=enter)
        other.start()
        assert entered.wait(5)
        other.join()
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize(("limit", "runs"), [(10, False), (1_000_000, True)])
def test_only_a_large_chart_pauses_it(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    predictor: Callable[..., Any],
    limit: int,
    runs: bool,
) -> None:
    seen: list[bool] = []

    def watching(*args: Any, **kwargs: Any) -> Any:
        seen.append(gc.isenabled())
        return predictor(*args, **kwargs)

    monkeypatch.setattr(routes, "_LARGE_BODY", limit)
    client = service(watching)
    seen.clear()  # of the warm-up
    answer = client.post(HOOK, json=world.hook_request(world.full_prefetch()))
    assert answer.status_code == 200
    assert seen == [runs]
    assert gc.isenabled()
