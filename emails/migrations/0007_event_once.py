from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("emails", "0006_report")]

    operations = [
        migrations.AlterField(
            model_name="emailevent",
            name="dedupe_key",
            field=models.CharField(max_length=255),
        ),
        migrations.AddConstraint(
            model_name="emailevent",
            constraint=models.UniqueConstraint(fields=["dedupe_key"], name="emails_event_once"),
        ),
    ]
