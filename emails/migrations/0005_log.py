
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('emails', '0004_people'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('delivery', ''), _negated=True), fields=['delivery', '-id'], name='emails_log_delivery'),
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('state__in', ('in_doubt', 'failed', 'suppressed', 'expired')), ('delivery__in', ('bounced', 'rejected', 'failed', 'complained')), _connector='OR'), fields=['-id'], name='emails_log_attention'),
        ),
    ]
