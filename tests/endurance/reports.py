"""The provider's reports after a crash: shuffled, one in five twice, over several connections, to a real server."""

import random
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.sink import free_port
from tests.site import ROOT, Site, answers

SECRET = ("user", "pass word")
AT_ONCE = 4


def serve(site: Site) -> str:
    """Start the web server of production, in two processes of four threads; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    site.environment["ALLOWED_HOSTS"] = "127.0.0.1"
    command = [sys.executable, "-m", "gunicorn", "backoffice.wsgi", f"--bind=127.0.0.1:{port}"]
    with site.output.open("ab") as output:
        options = ["--workers=2", "--threads=4", "--log-level=warning"]
        process = subprocess.Popen([*command, *options], env=site.environment, cwd=ROOT, stdout=output, stderr=output)
    site.processes.append(process)
    site.wait_until(lambda: answers(f"{url}/healthz"))
    return url


def tell(url: str, refs: Iterable[str], seed: int = 3) -> list[int]:
    """Post Postmark's word that each of `refs` was delivered; the statuses that came back."""
    chance = random.Random(seed)
    told = list(refs)
    told += chance.sample(told, len(told) // 5)
    chance.shuffle(told)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda ref: post(url, ref), told))


def post(url: str, ref: str) -> int:
    said: dict[str, Any] = {
        "RecordType": "Delivery",
        "DeliveredAt": "2026-11-24T12:00:00Z",
        "MessageID": f"of-{ref}",
        "Recipient": None,
        "Metadata": {"ref": ref},
    }
    answer = requests.post(f"{url}/anymail/postmark/tracking/", json=said, auth=SECRET, timeout=20)
    return answer.status_code
