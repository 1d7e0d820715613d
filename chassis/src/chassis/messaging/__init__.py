"""RabbitMQ: the envelope of events, the connections, the topology, the consumer and the publisher."""
