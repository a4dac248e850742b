from accounts.admin import event, group, person

__all__ = ["event", "group", "person"]
