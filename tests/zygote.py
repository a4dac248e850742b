"""A Python that has imported what every command imports, and forks for each: from nothing a start takes thrice as long.

What is run is the very command, in a process and an environment of its own. Threads and servers are started otherwise.
"""

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 60  # Seconds.
IMPORTED = (  # What does so without settings.
    *("anymail.backends.postmark", "anymail.urls", "celery", "cryptography.fernet", "css_inline"),
    *("django.contrib.admin", "django.contrib.messages", "django.core.management", "django.db.models"),
    *("django.contrib.staticfiles", "django.db.backends.sqlite3.base", "django.db.migrations.executor"),
    *("django_otp", "django_stubs_ext", "django_tasks_db", "environ", "gunicorn.app.base"),
    *("import_export.formats.base_formats", "import_export.resources", "psycopg", "requests", "segno"),
)


def run(command: list[str], env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """`python *command` (a script with its arguments, or -c with code) in this environment alone."""
    mother = zygote(os.getpid())
    assert mother.stdin is not None
    assert mother.stdout is not None
    mother.stdin.write(json.dumps({"command": command, "env": env}) + "\n")
    mother.stdin.flush()
    answer = json.loads(mother.stdout.readline())
    return subprocess.CompletedProcess(command, answer["code"], answer["out"], answer["err"])


@cache
def zygote(pid: int) -> "subprocess.Popen[str]":
    """One for each process that runs tests."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.zygote"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(end, started)
    return started


def end(mother: "subprocess.Popen[str]") -> None:
    mother.kill()
    mother.wait()


def serve() -> None:
    for name in IMPORTED:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                become(asked["command"], asked["env"], out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            texts = {name: read(file) for name, file in (("out", out), ("err", err))}
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), **texts}), flush=True)


def read(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))


def become(command: list[str], env: dict[str, str], out: int, err: int) -> None:
    """In the child: be the command, and never return."""
    signal.alarm(TIMEOUT)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.clear()
    os.environ.update(env)
    warnings.resetwarnings()
    warnings._processoptions([w for w in env.get("PYTHONWARNINGS", "").split(",") if w])  # type: ignore[attr-defined]
    code: Any = 0
    try:
        if command[0] == "-c":
            sys.argv = ["-c"]
            exec(compile(command[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if isinstance(code, str) else code or 0)


if __name__ == "__main__":
    serve()
