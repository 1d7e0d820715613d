"""The parts that make up a service: settings, logs, group commit, periodic jobs, reminders."""
