"""The distance that character error rates are made of."""
import numpy as np


def distance(a, b):
    """Levenshtein's, between two strings."""
    p = np.arange(len(b) + 1)
    bb = np.frombuffer(b.encode("utf-32-le"), dtype=np.uint32)
    for i, x in enumerate(a):
        c = np.empty_like(p)
        c[0] = i + 1
        c[1:] = np.minimum(p[1:] + 1, p[:-1] + (bb != ord(x)))
        ar = np.arange(len(c))
        p = np.minimum.accumulate(c - ar) + ar
    return int(p[-1])
