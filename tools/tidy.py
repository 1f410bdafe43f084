#!/usr/bin/env python3
"""Checks the rules of docs/architecture.md that a compiler does not: layering, banned names, lengths, dead files,
mirror tests, the journey's symbols, unfinished work. Prints one line per finding; exit code 1 if there is any.

  tools/tidy.py [--root DIR]
"""
import argparse
import pathlib
import re
import subprocess
import sys

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
SOURCE = {".cc", ".h", ".cu", ".py", ".rs", ".proto"}

# folder -> what its files may include of ours. The most specific folder wins. The layer table, executable.
L1 = ["base", "protocol", "model", "kernels", "exchange", "text"]
ALL = ["base", "base/edge", "protocol", "model", "model/edge", "kernels", "exchange", "exchange/backend", "text", "coordinator",
       "coordinator/placement", "coordinator/edge", "worker", "worker/edge", "cli", "torture", "sim", "bench", "tests", "conclave", "google"]
LAYERS = {
    "base": ["base"],
    "protocol": ["base", "protocol"],
    "model": ["base", "model"],
    "kernels": ["base", "kernels"],
    "exchange": ["base", "exchange"],
    "text": ["base", "text"],
    "coordinator": ["base", "protocol", "text", "coordinator", "coordinator/placement"],
    "coordinator/placement": ["base", "protocol", "coordinator/placement"],
    "worker": ["base", "protocol", "model", "kernels", "exchange", "worker"],
    "base/edge": ["base", "base/edge"],
    "model/edge": ["base", "model", "model/edge"],
    "exchange/backend": ["base", "exchange", "exchange/backend"],
    "coordinator/edge": L1 + ["base/edge", "model/edge", "coordinator", "coordinator/placement", "coordinator/edge", "conclave", "google"],
    "worker/edge": L1 + ["base/edge", "model/edge", "exchange/backend", "worker", "worker/edge", "conclave", "google"],
    "cli": ALL, "torture": ALL, "sim": ALL, "tests": ALL, "bench": ALL,
}
# Files that stand in a core's folder but are something else.
EXCEPTIONS = {
    "coordinator/main.cc": ALL, "worker/main.cc": ALL,  # composition roots
    "protocol/codec.cc": ["base", "protocol", "conclave"],  # the one place that sees protobuf, in three files
    "protocol/codec_parts.h": ["base", "protocol", "conclave"],
    "protocol/codec_to_worker.cc": ["base", "protocol", "conclave"],
    "protocol/codec_from_worker.cc": ["base", "protocol", "conclave"],
}
OURS = re.compile(r"^(base|protocol|model|kernels|exchange|text|coordinator|worker|cli|torture|sim|bench|tests|conclave|google)/")

# third-party header -> the kinds of place it may appear in (prefixes of paths)
ROOTS = ["cli/", "torture/", "sim/", "tests/", "bench/", "coordinator/main.cc", "worker/main.cc"]
THIRD_PARTY = [
    (r"^(grpc|grpcpp)/", ["base/edge/", "coordinator/edge/", "worker/edge/"] + ROOTS),
    (r"^google/protobuf/", ["protocol/codec", "base/edge/", "coordinator/edge/", "worker/edge/"] + ROOTS),
    (r"^uc[pst]/", ["exchange/backend/"]),
    (r"^mpi\.h", ["exchange/backend/"]),
    (r"^(cuda|nccl)", ["exchange/backend/", "kernels/"]),
    (r"^prometheus/", ["base/edge/", "coordinator/edge/", "worker/edge/"] + ROOTS),
    (r"^spdlog/", ["base/edge/", "coordinator/edge/", "worker/edge/"] + ROOTS),
    (r"^nlohmann/", ["model/edge/", "text/", "coordinator/edge/", "worker/edge/"] + ROOTS),
    (r"^CLI/", ROOTS),
    (r"^(immintrin|x86intrin|xmmintrin|cpuid)\.h", ["kernels/", "bench/", "tests/", "worker/edge/"]),
    (r"^(thread|mutex|condition_variable|chrono|future|semaphore|latch|barrier|random|ctime|sys/time\.h|time\.h|"
     r"unistd\.h|pthread\.h)$",
     ["base/edge/", "model/edge/", "exchange/backend/", "coordinator/edge/", "worker/edge/", "text/"] + ROOTS),
]
# names no core may say
PURE = ("base/", "protocol/", "model/", "kernels/", "exchange/", "coordinator/", "worker/")
NOT_PURE = ("base/edge/", "model/edge/", "exchange/backend/", "coordinator/edge/", "worker/edge/", "coordinator/main.cc",
            "worker/main.cc")
BANNED = re.compile(r"\b(getenv|std::thread|std::mutex|std::chrono|std::random_device|rand\(\)|srand|gettimeofday|"
                    r"clock_gettime|usleep|std::this_thread|grpc::|ucp_|MPI_|ncclComm|cudaStream|std::cout|std::cerr)")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
STDLIB_MATH = re.compile(r"\bstd::(exp|log|sin|cos|pow|tanh|exp2|log2|sqrt)f?\(")


def source_files(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"], capture_output=True,
                            text=True, check=False)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [
        str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]
    return sorted(n for n in set(names) if n and (root / n).is_file())


def folder_of(path, table):
    parts = path.split("/")[:-1]
    while parts:
        if "/".join(parts) in table:
            return "/".join(parts)
        parts.pop()
    return None


def strip_comments(text):
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def check_includes(path, text):
    folder = folder_of(path, LAYERS)
    allowed = EXCEPTIONS.get(path, LAYERS.get(folder, ALL))
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#include ["<]([^">]+)[">]', line)
        if not match:
            continue
        name = match.group(1)
        if OURS.match(name) and not name.endswith("/") and not re.match(r"^google/protobuf/", name):
            target = folder_of(name, {f: 1 for f in ALL})
            if target not in allowed and not (target or "").startswith("tests"):
                yield f"{path}:{number}: {folder} may not include {name}"
        for pattern, places in THIRD_PARTY:
            if re.match(pattern, name) and not path.startswith(tuple(places)):
                yield f"{path}:{number}: <{name}> belongs in {', '.join(places[:3])}"


def check_names(path, text):
    pure = path.startswith(PURE) and not path.startswith(NOT_PURE)
    for number, line in enumerate(strip_comments(text).split("\n"), 1):
        if pure and (match := BANNED.search(line)):
            yield f"{path}:{number}: a core may not say {match.group(1)}"
        if pure and (match := STDLIB_MATH.search(line)) and match.group(1) != "sqrt":
            yield f"{path}:{number}: {match.group(0)}...) has other bits on other machines: base/numeric.h"
    for number, line in enumerate(text.split("\n"), 1):
        if UNFINISHED.search(line) and not re.search(r"(TODO|FIXME)\(#\d+\)", line):
            yield f"{path}:{number}: unfinished without an issue number"


def function_spans(path, text):
    """(first line, length, name) of functions, as clang-format lays them out: closed at the opener's indent."""
    lines = text.split("\n")
    if path.endswith(".py"):
        opener, closer = re.compile(r"^( *)(?:async )?def (\w+)"), None
    elif path.endswith(".rs"):
        opener, closer = re.compile(r"^( *)(?:pub |unsafe |extern \"C\" |async )*fn (\w+)"), "}"
    else:
        opener = re.compile(r"^( {0,4})(?!namespace|class|struct|enum|union|extern|if|for|while|switch|do|else|case|return)"
                            r"(?:[^\s#/}].*)?[)a-z>] (?:const |noexcept |override |final )*\{$")
        closer = "}"
    for i, line in enumerate(lines):
        match = opener.match(line)
        if not match:
            continue
        indent = match.group(1)
        if line.strip().startswith(":"):  # the last line of a constructor's initialiser list
            indent = indent[4:]
        end = i + 1
        if closer is None:
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(indent + " ")):
                end += 1
        else:
            while end < len(lines) and not re.match(rf"^{indent}\}}", lines[end]):
                end += 1
        yield i + 1, end - i, line.strip()[:60]


def check_lengths(path, text):
    count = text.count("\n")
    if count > FILE_LINES_MAX:
        yield f"{path}: {count} lines, more than {FILE_LINES_MAX}"
    if path.endswith(".proto"):
        return
    for line, length, name in function_spans(path, text):
        if length > FUNCTION_LINES_MAX and not re.match(r"(inline )?constexpr", name):
            yield f"{path}:{line}: function of {length} lines, more than {FUNCTION_LINES_MAX}: {name}"


def check_dead(files, texts):
    cmake = "\n".join(texts[f] for f in files if f.endswith("CMakeLists.txt") or f.endswith(".cmake"))
    included = set(re.findall(r'#include "([^"]+)"', "\n".join(t for f, t in texts.items() if f.endswith((".cc", ".h", ".cu")))))
    for path in files:
        if path.endswith((".cc", ".cu")) and not re.search(rf"\b{re.escape(path.split('/')[-1])}\b", cmake):
            yield f"{path}: in no target"
        if path.endswith(".h") and not any(path == name or path.endswith("/" + name) for name in included):
            yield f"{path}: included nowhere"


def check_mirrors(files):
    tested = {"/".join(f.split("/")[1:-1]) for f in files if f.startswith("tests/") and f.endswith("_test.cc")}
    for folder in ("base", "protocol", "model", "kernels", "exchange", "text", "coordinator", "worker"):
        if any(f.startswith(folder + "/") and f.endswith(".cc") for f in files) and folder not in tested:
            yield f"{folder}/: no tests/{folder}/*_test.cc"


def check_journey(root, files):
    journey = root / "docs/journey.md"
    if not journey.exists():
        return
    for number, line in enumerate(journey.read_text().split("\n"), 1):
        for path, symbols in re.findall(r"`([\w/]+\.(?:cc|h|proto|rs))`(?: · ((?:\w+)(?:, \w+)*))?", line):
            if path not in files:
                yield f"docs/journey.md:{number}: {path} does not exist"
                continue
            text = (root / path).read_text()
            for symbol in filter(None, symbols.split(", ")):
                if not re.search(rf"\b{symbol}\b", text):
                    yield f"docs/journey.md:{number}: {path} has no {symbol}"


def check_tree(root):
    files = source_files(root)
    interesting = [f for f in files if pathlib.Path(f).suffix in SOURCE or f.endswith(("CMakeLists.txt", ".cmake"))]
    texts = {f: (root / f).read_text(errors="replace") for f in interesting}
    for path, text in texts.items():
        if path.endswith((".cc", ".h", ".cu")):
            yield from check_includes(path, text)
        if pathlib.Path(path).suffix in SOURCE:
            if path != "tools/tidy.py" and path != "tools/tidy_test.py":
                yield from check_names(path, text)
            yield from check_lengths(path, text)
    yield from check_dead(interesting, texts)
    yield from check_mirrors(files)
    yield from check_journey(root, set(files))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    findings = list(check_tree(parser.parse_args().root))
    print("\n".join(findings) if findings else "tidy: nothing to say")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
