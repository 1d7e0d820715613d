"""What a service is put together from: settings, logs, group commit, periodic jobs, reminders."""
