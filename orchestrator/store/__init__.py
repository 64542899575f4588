"""SQLAlchemy tables and the stores over them."""
