"""The only DDL, as Alembic revisions: one change per revision, MySQL cannot roll DDL back."""
