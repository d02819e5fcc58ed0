"""Asks over so many steps, in four threads at once, and prints the most memory this process ever had, in MiB."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from bench.columns_material import material
from bench.segments import ours
from tests.trust.memory import peak_rss_bytes

if __name__ == "__main__":
    with material(int(sys.argv[1])) as made, ThreadPoolExecutor(4) as pool:
        list(pool.map(ours, [made] * 4))
    print(peak_rss_bytes() / 2**20)
