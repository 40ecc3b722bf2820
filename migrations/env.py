"""Run migrations in the open transaction of the connection that `schema.upgrade` passes."""

from alembic import context

from fundusd.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
