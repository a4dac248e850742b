"""What a load balancer or supervisor asks. JSON without secrets; 503 where the answer is no."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from emails.models import EmailLog


class HealthMiddleware:
    """Answers /healthz and /readyz before anything else: probes come by IP address and without TLS."""

    migrated = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return answer(True, "ok")
        if request.path == "/readyz":
            return self.readyz()
        return self.get_response(request)

    def readyz(self) -> HttpResponse:
        """Whether requests can be served: the database answers and is migrated. Tells how long mail has waited."""
        try:
            if not self.migrated:
                executor = MigrationExecutor(connection)
                pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
                if pending:
                    return answer(False, f"{pending} migrations are not applied: run manage.py migrate")
                self.migrated = True
            return answer(True, "ok", oldest_waiting_seconds=EmailLog.objects.waiting_seconds())
        except DatabaseError as error:
            return answer(False, f"the database does not answer ({type(error).__name__})")


def answer(ready: bool, status: str, **facts: object) -> HttpResponse:
    headers = {"Cache-Control": "no-store"}
    return JsonResponse({"status": status, **facts}, status=200 if ready else 503, headers=headers)
