"""The roles of a service's schema, named after it:

    orders_owner        owns the schema and all in it; nobody logs in as it
    orders              reads and writes rows, creates and owns nothing; in development its password is its name
    orders_a, orders_b  logins with the rights of `orders`; with two, a password is replaced under load
    auditor             reads every schema
    migrator            may switch to every owner

`auditor` and `migrator` can't log in; their logins are named after them in the same way.
"""

import hashlib
import hmac
import secrets
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from alembic.util import CommandError
from chassis.ports.errors import reason_of
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

AUDITOR, MIGRATOR = "auditor", "migrator"
_ROWS = "SELECT, INSERT, UPDATE, DELETE"
_ITERATIONS = 4096
_ROLE = "SELECT 1 FROM pg_roles WHERE rolname = :name"
# In earlier versions the service's own role was the owner.
_SCHEMAS = """
    SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname) FROM pg_namespace
    JOIN pg_roles ON pg_roles.oid = nspowner WHERE rolname IN (nspname, nspname || '_owner')
"""
_SEARCH_PATH = """
    SELECT 1 FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
    WHERE datname = current_database() AND setrole = 0 AND 'search_path=' || :path = ANY (setconfig)
"""


def owner_of(schema: str) -> str:
    return f"{schema}_owner"


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of a password (RFC 5803), so that the password itself is in no statement and no log."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [b64encode(part).decode() for part in (salt, stored, server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *encoded)


def prepare(connection: Connection, schema: str, *, logins: str, production: bool) -> None:
    """Creates what doesn't exist yet, gives all of the schema to its owner, and renews the logins. Only that needs an
    administrator: where nothing is missing, a login of `migrator` does. Raises CommandError."""
    try:
        Roles(connection, schema).prepare(logins.split(), production=production)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        raise CommandError(
            f"The roles of the schema {schema} are not as they should be, and this login may not change them"
            f" ({reason_of(error)}): run the migrations as an administrator once."
        ) from None


class Roles:
    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self._owner = owner_of(schema)
        # Since PostgreSQL 16 the creator of a role is a member of it but may not act as it yet.
        self._may = "SET" if (connection.dialect.server_version_info or ()) >= (16,) else "MEMBER"

    def prepare(self, logins: list[str], *, production: bool) -> None:
        password = f"LOGIN PASSWORD '{scram_verifier(self._schema)}'"
        self._create_role(self._schema, "NOLOGIN" if production else password)
        for role in (self._owner, AUDITOR, MIGRATOR):
            self._create_role(role, "NOLOGIN")
        self._make_member(MIGRATOR, self._owner)
        self._make_member("CURRENT_USER", self._owner)
        self._connection.commit()
        self._take_over()
        self._grant()
        self._settle_database()
        for url in logins:
            self._renew(url)
        self._connection.commit()

    def _do(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)  # as it is: a verifier's colons name no parameters

    def _missing(self, query: str, **parameters: str) -> bool:
        return self._connection.execute(text(query), parameters).first() is None

    def _create_role(self, role: str, options: str) -> None:
        """An existing role stays as it is. Another database's migration, which takes another lock, may come first."""
        if self._missing(_ROLE, name=role):
            create = f"CREATE ROLE {role} {options}; EXCEPTION WHEN duplicate_object OR unique_violation THEN"
            self._do(f"DO $do$ BEGIN {create} END $do$")

    def _make_member(self, member: str, role: str) -> None:
        name = "current_user" if member == "CURRENT_USER" else f"'{member}'"
        if self._missing(f"SELECT 1 WHERE pg_has_role({name}, :role, '{self._may}')", role=role):
            self._do(f"GRANT {role} TO {member}")

    def _take_over(self) -> None:
        """Creates the schema, or takes it from the service's own role, which owned it in earlier versions. Their code
        goes on working: what it loses as the owner it is granted in the same transaction. One table a transaction,
        because a service may hold locks on several."""
        schema, owner = self._schema, self._owner
        query = text("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = :schema")
        before = self._connection.execute(query, {"schema": schema}).scalar()
        if before is None:
            self._do(f"CREATE SCHEMA {schema} AUTHORIZATION {owner}")
        elif before != owner:
            self._make_member("CURRENT_USER", before)
            self._do(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {before} IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {AUDITOR}"
            )
            self._do(f"ALTER SCHEMA {schema} OWNER TO {owner}")
            self._do(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
        self._connection.commit()
        tables = text(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace)"
            " AND relkind IN ('r', 'p', 'v', 'm') AND relowner <> CAST(:owner AS regrole)"
        )
        for table in self._connection.execute(tables, {"schema": schema, "owner": owner}).scalars().all():
            self._do(f"ALTER TABLE {table} OWNER TO {owner}")
            self._do(f"GRANT {_ROWS} ON {table} TO {schema}")
            self._connection.commit()

    def _grant(self) -> None:
        """Rights on what there is and, by default, on what later migrations create."""
        schema = self._schema
        self._do(f"SET LOCAL ROLE {self._owner}")
        self._do(f"GRANT USAGE ON SCHEMA {schema} TO {schema}, {AUDITOR}")
        for rights, kind, role in (
            (_ROWS, "TABLES", schema),
            ("USAGE", "SEQUENCES", schema),
            ("SELECT", "TABLES", AUDITOR),
        ):
            self._do(f"GRANT {rights} ON ALL {kind} IN SCHEMA {schema} TO {role}")
            self._do(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} ON {kind} TO {role}")
        self._connection.commit()

    def _settle_database(self) -> None:
        """People find tables in psql without a schema's name, and nobody but the database's owner creates any."""
        database = self._connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
        path = f"{self._connection.execute(text(_SCHEMAS)).scalar_one()}, public"
        if self._missing(_SEARCH_PATH, path=path):
            self._do(f"ALTER DATABASE {database} SET search_path = {path}")
        if not self._missing("SELECT 1 WHERE has_database_privilege('public', current_database(), 'TEMPORARY')"):
            self._do(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")

    def _renew(self, url: str) -> None:
        """Lets the URL's user log in with the URL's password, whether or not it did before."""
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        role = user[:-2]
        if role not in (self._schema, AUDITOR, MIGRATOR) or user[-2:] not in ("_a", "_b"):
            raise CommandError(
                f"DATABASE_LOGINS: {user or 'a URL without a user'} is no login of {self._schema}, {AUDITOR} or"
                f" {MIGRATOR}: name it like {self._schema}_a or {self._schema}_b."
            )
        if not password.isascii() or password in ("", user, role):
            raise CommandError(f"DATABASE_LOGINS: give {user} a password of ASCII characters that is not its name.")
        # Who may migrate has an owner's rights only by switching to it.
        self._create_role(user, "NOINHERIT" if role == MIGRATOR else "INHERIT")
        self._do(f"ALTER ROLE {user} LOGIN PASSWORD '{scram_verifier(password)}'")
        self._make_member(user, role)
