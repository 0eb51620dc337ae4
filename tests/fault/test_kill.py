"""kill -9 of the service and of its Redis: nothing acknowledged is missing, and an orderly stop is one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.service_process import ServiceProcess, reason, start_and_fail


def test_kill_of_the_service_between_two_feedbacks_loses_nothing(checkpoint_dir: Path, tmp_path: Path) -> None:
    with ServiceProcess(checkpoint_dir, tmp_path / "service") as service:
        slate = service.recommend("ada", k=5).json()
        shown, name = slate["items"][0]["item_id"], slate["recommendation_id"]
        assert service.feedback("e1", "ada", shown, recommendation_id=name).status_code == 200
        before = service.client.get("/v1/users/ada").json()
        left = service.redis_pid
        service.kill()
        service.start()
        assert service.redis_pid != left
        assert service.client.get("/v1/users/ada").json() == before
        assert service.feedback("e1", "ada", shown, recommendation_id=name).json()["duplicates"] == 1
        second = slate["items"][1]["item_id"]
        assert service.feedback("e2", "ada", second, recommendation_id=name).json()["applied"] == 1
        assert service.transitions("ada") == 2
        assert "left behind" in service.log


def test_kill_of_redis_between_two_feedbacks_loses_nothing(checkpoint_dir: Path, tmp_path: Path) -> None:
    with ServiceProcess(checkpoint_dir, tmp_path / "service") as service:
        service.client.put("/v1/items/new", json={"attributes": {"genres": ["drama"]}})
        assert service.feedback("e1", "ada", "new").status_code == 200
        before = service.client.get("/v1/users/ada").json()
        killed = service.redis_pid
        os.kill(killed, signal.SIGKILL)
        answer = service.recommend("ada")
        assert answer.status_code == 200
        service.wait_until(lambda: service.feedback("e2", "ada", "item7").status_code == 200)
        assert service.redis_pid != killed
        assert service.feedback("e1", "ada", "new").json()["duplicates"] == 1
        assert service.transitions("ada") == 2
        assert before["transitions"] == 1


@pytest.mark.parametrize("victim", ["service", "redis"])
def test_kill_under_load_keeps_every_acknowledged_event_once(checkpoint_dir: Path, tmp_path: Path, victim: str) -> None:
    acknowledged: list[set[str]] = [set() for _ in range(4)]
    sent: list[list[str]] = [[] for _ in range(4)]
    with ServiceProcess(checkpoint_dir, tmp_path / "service") as service:
        enough, done = threading.Event(), threading.Event()

        def client(number: int) -> None:
            for i in range(50):
                event = f"{number} {i}"
                sent[number].append(event)
                while not done.is_set():
                    try:
                        if service.feedback(event, f"user{number}", f"item{i}").status_code == 200:
                            acknowledged[number].add(event)
                            break
                    except httpx.TransportError:
                        pass
                    # A refusal is answered at once; the pause leaves the processor to the restart.
                    done.wait(0.02)
                if number == 0 and i == 10:
                    enough.set()

        threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        if victim == "service":
            service.kill()
            service.start()
        else:
            os.kill(service.redis_pid, signal.SIGKILL)
        for thread in threads:
            thread.join(60)
        done.set()
        assert [len(names) for names in acknowledged] == [50, 50, 50, 50]
        assert [service.transitions(f"user{number}") for number in range(4)] == [50, 50, 50, 50]
        again = [service.feedback(name, f"user{n}", f"item{i}") for n in range(4) for i, name in enumerate(sent[n])]
        assert all(answer.json()["duplicates"] == 1 for answer in again)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_orderly_stop_exits_with_0_and_stops_redis(checkpoint_dir: Path, tmp_path: Path, sign: int) -> None:
    with ServiceProcess(checkpoint_dir, tmp_path / "service") as service:
        service.feedback("e1", "ada", "item1")
        redis = service.redis_pid
        assert service.stop(sign) == 0
        assert not Path(f"/proc/{redis}").exists()
        assert "Traceback" not in service.log
        service.start()
        assert service.transitions("ada") == 1


def test_second_service_on_one_data_directory_is_refused_in_one_line(checkpoint_dir: Path, tmp_path: Path) -> None:
    with ServiceProcess(checkpoint_dir, tmp_path / "service") as service:
        code, stderr = start_and_fail(checkpoint_dir, tmp_path / "service")
        assert code == 1
        assert f"in use by the service with pid {service.pid}" in reason(stderr)
        assert service.feedback("e1", "ada", "item1").status_code == 200
