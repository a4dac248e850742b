from django.db import models
from django.utils.translation import gettext_lazy as _


class EmailAttachment(models.Model):
    """An attachment's bytes; its place and shape in the message stand in the message's payload."""

    email = models.ForeignKey("emails.EmailLog", models.CASCADE, related_name="attachments")
    position = models.PositiveSmallIntegerField()
    filename = models.TextField(blank=True)
    mimetype = models.TextField(blank=True)
    content = models.BinaryField()
    size = models.PositiveIntegerField()  # Bytes.

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["email", "position"], name="emails_attachment_position")]

    def __str__(self) -> str:
        return self.filename or f"#{self.position}"
