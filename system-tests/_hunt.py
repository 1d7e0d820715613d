import sys

from simulation.campaign import hunt
from simulation.mutations import ALL
from simulation.mutations.caught_by import SEEDS

if __name__ == "__main__":
    names = [n for n, m in ALL.items() if not m.healed_because]
    only = sys.argv[2:] or names
    for c in hunt([n for n in names if n in only], range(1, int(sys.argv[1])), hints=SEEDS):
        print(f'    "{c.mutation}": {c.seed},   # {c.sentence[:150]}', flush=True)
