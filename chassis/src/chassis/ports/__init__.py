"""The part of the chassis that use cases import; it knows no library for databases, brokers or HTTP."""
