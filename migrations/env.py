"""Run migrations on the connection that `fundusd db upgrade` hands over, in its transaction."""

from alembic import context

from fundusd.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
