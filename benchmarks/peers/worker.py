"""The measured side of a comparison: a process that waits between its turns.

compare.py starts every peer once, so that imports, compilation and warm-up are
not measured, and then lets program and peers run in turn: a line on standard
input asks for that many runs, a line of JSON answers with their throughputs.
"""
import importlib, json, sys, time

MIN_RUN = 0.05  # seconds; shorter cases are repeated within a run, as clpipe's bench does


def rate(work, f):
    """Work per second of one run of f."""
    start, n = time.perf_counter(), 0
    while True:
        f()
        n += 1
        took = time.perf_counter() - start
        if took >= MIN_RUN:
            return n * work / took


def leave_out(reason):
    """Ends the process: this peer cannot be measured here."""
    print(json.dumps({"left_out": reason}), flush=True)
    sys.exit(0)


def need(module):
    """The module, or the peer is left out."""
    try:
        return importlib.import_module(module)
    except Exception as reason:  # of whatever kind: some load libraries that are missing or too old
        leave_out(f"{module}: {reason}")


def whole(cases, counts, rates):
    """The throughput of all cases together in each run, each as often as it is counted."""
    work = sum(counts[name] * work for name, work, _ in cases)
    return [work / sum(counts[name] * work / rate for (name, work, _), rate in zip(cases, run)) for run in zip(*(rates[name] for name, _, _ in cases))]


def serve(cases, warm=1, counts=None, **facts):
    """Serves cases, a list of (name, work, f), where f does the work once. With
    counts, how often each name occurs in the whole, that is the case "total"."""
    for _, _, f in cases:
        for _ in range(warm):
            f()
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        rates = {name: [rate(work, f) for _ in range(int(line))] for name, work, f in cases}
        if counts:
            rates["total"] = whole(cases, counts, rates)
        print(json.dumps(rates), flush=True)
