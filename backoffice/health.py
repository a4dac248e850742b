"""What a load balancer or supervisor asks. JSON without secrets; 503 where the answer is no."""

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from emails.models import EmailLog


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Whether this process answers at all; touches nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether requests can be served: the database answers and is migrated. Tells how long mail has been waiting."""
    try:
        executor = MigrationExecutor(connection)
        pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if pending:
            return answer(False, f"{pending} migrations are not applied: run manage.py migrate")
        return answer(True, "ok", oldest_waiting_seconds=EmailLog.objects.waiting_seconds())
    except DatabaseError as error:
        return answer(False, f"the database does not answer ({type(error).__name__})")


def answer(ready: bool, status: str, **facts: object) -> JsonResponse:
    return JsonResponse({"status": status, **facts}, status=200 if ready else 503)
