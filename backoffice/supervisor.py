"""Several processes of one command: started together, stopped together, and started anew where one dies."""

import logging
import os
import signal
import subprocess
import sys
import time
from types import FrameType

logger = logging.getLogger(__name__)

AGAIN = 1.0  # Seconds before a process that died is started anew.


class Supervisor:
    def __init__(self, arguments: list[str], number: int, patience: float) -> None:
        self.command = [sys.executable, sys.argv[0], *arguments, f"--parent={os.getpid()}"]
        self.number, self.patience = number, patience
        self.stopping = False

    def run(self) -> None:
        """Until SIGTERM or Ctrl-C, which is passed on; then wait for what is in flight."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.stop)
        processes = [self.start() for _ in range(self.number)]
        while not self.stopping:
            for place, process in enumerate(processes):
                if process.poll() is not None and not self.stopping:
                    logger.error("worker.process_died pid=%s code=%s", process.pid, process.returncode)
                    time.sleep(AGAIN)
                    processes[place] = self.start()
            time.sleep(0.2)
        self.end(processes)

    def start(self) -> "subprocess.Popen[bytes]":
        # A session of its own: Ctrl-C in the terminal reaches this process alone, which passes on one signal.
        return subprocess.Popen(self.command, start_new_session=True)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = True

    def end(self, processes: list["subprocess.Popen[bytes]"]) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + self.patience
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
