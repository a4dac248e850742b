from typing import Any

from django.utils.functional import SimpleLazyObject
from django_tasks_db import DatabaseBackend
from django_tasks_db.models import DBTaskResult, get_date_max


class CoalescingDatabaseBackend(DatabaseBackend):
    """The database as task queue, in which one waiting task stands for any number of equal ones without arguments.

    A task that is still waiting is claimed after this look at it, and so sees everything that was committed before.
    """

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        if not args and not kwargs and task.run_after is None:
            waiting = DBTaskResult.objects.filter(
                status="READY", run_after=get_date_max(), task_path=task.module_path, backend_name=self.alias
            )
            pk = next(iter(waiting.order_by().values_list("pk", flat=True)[:1]), None)
            if pk is not None:  # Few callers want the result, and it costs another query.
                return SimpleLazyObject(lambda: self.get_result(str(pk)))
        return super().enqueue(task, args, kwargs)
