"""The four services, whole, under a scheduler that one seed drives: any failure replays.

    python -m simulation --runs 1000          (from system-tests; SEED and RUNS in the environment do the same)
    python -m simulation --seed 4711          replays exactly that run, and shrinks it if it fails
    python -m simulation --mutations          shows that it can fail

What is real: use cases, domains, the chassis's units of work, consumer, outbox, inbox, batcher, encoder and decoder,
the bindings in deploy/rabbitmq/definitions.json. What is simulated: time, PostgreSQL (rows, row locks, commits),
RabbitMQ, the payment gateway, the clients, and everything that can go wrong with them. docs/reliability.md says more.

    scenario.py     what one seed stands for: orders, cancels, faults
    driver.py       the scheduler; trouble.py lets things go wrong
    fleet.py        the services' processes; around them delivery.py (with rabbit.py), checkout.py (bank.py), clients.py
    witness.py      what must hold at every step, and invariants.py when all is quiet
    workers.py      a worker process for each service, spoken to over pipes; wire.py is what they say
    worker.py       the other end: process.py is one process of the service, on clock.py, database.py and link.py
    shrink.py       the smallest scenario that still fails; campaign.py many runs at once; mutations.py the proof
"""
