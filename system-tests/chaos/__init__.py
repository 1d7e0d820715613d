"""The real system under load, while a seeded plan kills, stops, pauses and cuts off everything that it is made of.

    make chaos SEED=4711 MINUTES=2

What is real: the four services (order, inventory and payment in two replicas each), PostgreSQL, RabbitMQ, HTTP. The
pair of servers is the run's own, and so is every link to it: a proxy for each instance and server. The same seed draws
the same plan and the same orders; what meets what in a real system under it differs from run to run.

    plan.py       what is done to what, when and for how long: the seed's, as data
    catalogue.py  what is in stock, and what each order is: the seed's too
    stage.py      the instances, their servers and the links between them
    acts.py       does what the plan says; poison.py makes the messages that nobody can read
    shoppers.py   customers who ask until they have an answer
    watch.py      how long health takes to tell of a fault, and of its end
    verdict.py    what must be true once all is quiet
    report.py     the table at the end
"""
