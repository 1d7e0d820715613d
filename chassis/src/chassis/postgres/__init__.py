"""PostgreSQL: the unit of work, the base of repositories, and the tables that every service has."""
