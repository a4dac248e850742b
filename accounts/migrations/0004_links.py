
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_search'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='link_epoch',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AlterField(
            model_name='batch',
            name='state',
            field=models.CharField(choices=[('checking', 'Being checked'), ('ready', 'Waiting for you'), ('running', 'Running'), ('finished', 'Finished'), ('failed', 'Failed'), ('discarded', 'Discarded')], default='running', max_length=10, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='personevent',
            name='type',
            field=models.CharField(choices=[('signed_in', 'Signed in'), ('sign_in_failed', 'Sign-in failed'), ('signed_out', 'Signed out'), ('locked', 'Locked after too many failed sign-ins'), ('unlocked', 'Unlocked'), ('ended_sessions', 'Signed out everywhere'), ('disabled', 'Disabled'), ('enabled', 'Enabled'), ('changed', 'Changed'), ('invited', 'Invited'), ('accepted', 'Invitation accepted'), ('withdrawn', 'Invitation withdrawn'), ('reset_sent', 'Password reset sent'), ('reset_used', 'Password reset used'), ('factor_added', 'Second factor set up'), ('factor_removed', 'Second factor removed'), ('factor_failed', 'Second factor refused'), ('recovery_used', 'Recovery code used'), ('codes_renewed', 'Recovery codes made anew'), ('anonymised', 'Anonymised'), ('deleted', 'Deleted'), ('imported', 'Imported'), ('exported', 'Exported'), ('denied', 'Refused')], max_length=20, verbose_name='what'),
        ),
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('invited_at__isnull', False)), fields=['id'], name='accounts_user_invited'),
        ),
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('anonymised_at__isnull', False)), fields=['id'], name='accounts_user_anonymised'),
        ),
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('is_active', False)), fields=['id'], name='accounts_user_disabled'),
        ),
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('is_staff', True)), fields=['id'], name='accounts_user_staff'),
        ),
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('is_superuser', True)), fields=['id'], name='accounts_user_superusers'),
        ),
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('email', '')), fields=['id'], name='accounts_user_no_address'),
        ),
    ]
