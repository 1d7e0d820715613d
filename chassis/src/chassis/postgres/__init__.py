"""PostgreSQL: the unit of work that keeps track, the repositories' base, and the tables that every service has."""
