"""What Alembic runs for each migration: our tables, over the connection that schema.py has opened and locked."""

from alembic import context

from flyball.storage import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=True,  # on SQLite too: a migration that is killed leaves nothing behind
)
with context.begin_transaction():
    context.run_migrations()
