#!/usr/bin/env python3
"""Compares two commands that print one JSON object: runs them in turns, a b b a a b ..., so that whatever else the machine
does falls on both, and prints the medians, their ratio and how far the rounds scatter.

  bench/paired.py --key output_tokens_per_second --rounds 7 \\
      --a "conclave bench serve --model models/tales-128e --workers 4 --json" \\
      --b "conclave bench serve --model models/tales-128e --workers 4 --heartbeat 60s --json"
"""
import argparse
import json
import shlex
import statistics
import subprocess
import sys


def measure(command, key):
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    value = json.loads(done.stdout.strip().splitlines()[-1])
    for part in key.split("."):
        value = value[part]
    return float(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", required=True, help="the command to judge")
    parser.add_argument("--b", required=True, help="the command to compare it with")
    parser.add_argument("--key", required=True, help="which number of the answer, as outer.inner")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    values = {"a": [], "b": []}
    for turn in range(args.rounds):
        for name in ("ab", "ba")[turn % 2]:
            values[name].append(measure(getattr(args, name), args.key))
            print(f"round {turn + 1} {name}: {values[name][-1]:.6g}", file=sys.stderr)
    ratios = [a / b for a, b in zip(values["a"], values["b"])]
    print(json.dumps({
        "key": args.key, "rounds": args.rounds,
        "a": statistics.median(values["a"]), "b": statistics.median(values["b"]),
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
    }))


if __name__ == "__main__":
    main()
