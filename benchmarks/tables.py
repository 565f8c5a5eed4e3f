"""Writes RESULTS.md from the raw throughputs of compare.py and parity.py.

    python benchmarks/tables.py benchmarks/results/compare.json --parity benchmarks/results/parity.json
"""
import argparse, json, pathlib, statistics

HERE = pathlib.Path(__file__).resolve().parent


def number(x):
    """Three digits, or all before the point."""
    digits = max(0, 3 - len(str(int(abs(x)))) if abs(x) >= 1 else 2)
    return f"{x:,.{digits}f}"


def spread(rates):
    return f"{number(min(rates))} – {number(max(rates))}"


def suite_table(s):
    lines = [f"## {s['title']}", "", f"{s['threads']} thread{'s' if s['threads'] > 1 else ''}{', kernels ' + s['kernel'] if s.get('kernel', 'none') != 'none' else ''}, `{s['command']}`", ""]
    if s.get("note"):
        lines += [s["note"], ""]
    ours = s["throughputs"]["clpipe"]
    peers = {label: cases for label, cases in s["throughputs"].items() if label != "clpipe"}
    shared = [case for case in ours if all(case in cases for cases in peers.values())]
    sizes = s.get("unit_bytes") or {}
    gbs = lambda case, rate: f" {number(rate * sizes[case] / 1e9)} |" if sizes else ""
    lines += [f"| {'case | ' if len(shared) > 1 else ''}program | {s['unit']}, median | spread |{' GB/s |' if sizes else ''} clpipe is |",
              "|---" * (4 + (len(shared) > 1) + bool(sizes)) + "|"]
    for case in shared:
        own = statistics.median(ours[case])
        first, other = (f"| {case} ", "| ") if len(shared) > 1 else ("", "")
        lines.append(f"{first}| clpipe | **{number(own)}** | {spread(ours[case])} |{gbs(case, own)} |")
        for label, cases in peers.items():
            median = statistics.median(cases[case])
            lines.append(f"{other}| {label} | {number(median)} | {spread(cases[case])} |{gbs(case, median)} {own / median:.2f} × |")
    if s.get("parts"):
        lines += ["", "; ".join(f"{case}: {number(statistics.median(rates))}" for case, rates in ours.items() if case != "total") + f" ({s['unit']})."]
    for label, reason in s["left_out"].items():
        lines += ["", f"{label}: not measured, {reason}."]
    if s.get("arena_bytes"):
        lines += ["", f"Activations of clpipe's step: {s['arena_bytes'] / 2**20:,.0f} MiB. Largest resident memory of the processes, libraries included: "
                  + ", ".join(f"{label} {size / 2**20:,.0f} MiB" for label, size in s["resident_bytes"].items()) + "."]
    return lines + [""]


def parity_table(p):
    lines = [f"## {p['steps']} steps beside PyTorch's", "",
             f"Relative differences from PyTorch {p['torch']} in single precision (`python benchmarks/parity.py --binary ./clpipe`): of the second loss",
             "(bound 1e-5), of all losses (1e-2), and of what two steps changed in a tensor (median 1 %, largest 5 %).", "",
             "| width:batch:side:head | | second loss | all losses | moved, median | moved, largest | within |", "|---|---|---|---|---|---|---|"]
    for r in p["results"]:
        lines.append(f"| {r['size']} | `{r['case']}` | {r['second']:.1e} | {r['all']:.1e} | {r['median']:.1e} | {r['largest']:.1e} | {'yes' if r['within'] else 'no'} |")
    return lines + [""]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("results")
    p.add_argument("--parity")
    p.add_argument("--output", default=str(HERE / "RESULTS.md"))
    a = p.parse_args()
    r = json.loads(pathlib.Path(a.results).read_text())
    versions = ", ".join(f"{k} {v}" for k, v in r["versions"].items())
    lines = ["# clpipe beside its peers", "",
             "Written by `benchmarks/tables.py`; to measure again: `bash benchmarks/run.sh`. Program and peers run in turn on the",
             "same input and cores; throughput is the median over all runs, the last column how many times the peer's clpipe's is.", "",
             f"- date {r['date']}, commit {r['commit']}, `{r['command']}`",
             f"- {r['processor']}, {r['cores']} cores, kernels {', '.join(r['kernels'])}; load before the run {r['load'][0]:.1f}",
             f"- {versions}", ""]
    for s in r["suites"]:
        lines += suite_table(s)
    if (HERE / "memory.png").exists():
        lines += ["## Memory over a long run", "", "Resident memory of `clpipe augment` while another process takes its pairs (`python benchmarks/memory.py`).", "",
                  "![resident memory over minutes](memory.png)", ""]
    if a.parity:
        lines += parity_table(json.loads(pathlib.Path(a.parity).read_text()))
    pathlib.Path(a.output).write_text("\n".join(lines))


if __name__ == "__main__":
    main()
