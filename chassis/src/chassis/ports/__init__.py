"""What use cases see of the chassis. Nothing in here imports a database, broker or web library."""
