#!/usr/bin/env python3
"""Maps a tree to the new words: apply.py TREE [--commit] [--only GROUP] [--no-shape] [--list]

Groups run in order; each is shaped (clang-format 14.0.6 over changed lines, long comments) and, with --commit, committed.
"""
import argparse
import collections
import pathlib
import subprocess
import sys

import engine
import groups


def run_group(tree, group, shape):
    before = {}
    original_write = tree.write

    def write(path, text):
        before.setdefault(path, tree.texts.get(path) if path in tree.texts else (tree.root / path).read_text() if (tree.root / path).exists() else "")
        original_write(path, text)
    tree.write = write
    batch, moves = [], []
    for rule in group.rules:
        if isinstance(rule, engine.Rule):
            batch.append(rule)
            continue
        if batch:
            engine.apply_rules(tree, batch)
            batch = []
        if isinstance(rule, engine.Move):
            moves.append(rule)
            continue
        if moves:
            engine.apply_moves(tree, moves)
            moves = []
        if isinstance(rule, engine.Text):
            engine.apply_text(tree, rule)
        else:
            rule.count = rule.function(tree)
    if batch:
        engine.apply_rules(tree, batch)
    if moves:
        engine.apply_moves(tree, moves)
    tree.write = original_write
    tree.touched.update(before)
    if shape:
        for path, old in before.items():
            if path.endswith((".cc", ".h", ".proto")) and path in tree.exists and tree.read(path) != old:
                tree.write(path, engine.shape(path, old, tree.read(path)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tree")
    parser.add_argument("--commit", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--no-shape", action="store_true")
    args = parser.parse_args()
    tree = engine.Tree(args.tree, None)
    tree.touched, tree.notes = set(), []
    for group in groups.GROUPS:
        if args.only and group.name not in args.only.split(","):
            continue
        tree.collisions.clear()
        run_group(tree, group, args.commit and not args.no_shape)
        unused = [r.name for r in group.rules if r.count == 0]
        print(f"== {group.name}: {sum(r.count for r in group.rules)} places; {len(unused)} rules matched nothing")
        for line in tree.notes:
            print("  ", line)
        tree.notes.clear()
        for name in unused:
            print("   nothing:", name)
        for line in sorted(set(tree.collisions)):
            print("   collision:", line)
        if args.commit:
            git = ["git", "-C", str(tree.root)]
            subprocess.run(git + ["add", "-A", "--", ".", ":!text/rust/target"], check=True)
            if subprocess.run(git + ["diff", "--cached", "--quiet"]).returncode:
                subprocess.run(git + ["commit", "-q", "-m", group.message], check=True)
    if not args.commit and not args.no_shape:
        for path in sorted(tree.touched & tree.exists):
            if path.endswith((".cc", ".h", ".proto")):
                tree.write(path, engine.shape(path, "", tree.read(path)))
    long = [f"{p}:{i}" for p in tree.paths() if p.endswith((".cc", ".h")) for i, l in enumerate(tree.read(p).split("\n"), 1) if len(l) > 100]
    print(f"lines over 100 columns: {len(long)}", *long[:40])


if __name__ == "__main__":
    main()
