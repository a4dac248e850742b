from accounts.admin import group, person

__all__ = ["group", "person"]
