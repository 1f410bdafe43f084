"""The order of the groups, and what is not a rename of one word: file moves, layout, glossary, comments."""
import pathlib

import regex as re

import engine
from engine import All, Call, Code, Fallback, Group, Move, Proto, Rule, Str, Text, Type, Var, Words
from words import *  # noqa: F403 - the rules of every group, by name

HERE = pathlib.Path(__file__).resolve().parent

files = [Move(a, b) for a, b in [
    ("base/slot_set.h", "base/worker_set.h"), ("tests/base/slot_set_test.cc", "tests/base/worker_set_test.cc"),
    ("kernels/lane.h", "kernels/thread_team.h"),
    ("worker/aside.h", "worker/staged_epoch.h"), ("worker/aside.cc", "worker/staged_epoch.cc"), ("tests/worker/aside_test.cc", "tests/worker/staged_epoch_test.cc"),
    ("worker/check_ask.h", "worker/check_step_request.h"), ("worker/check_ask.cc", "worker/check_step_request.cc"),
    ("worker/spare.h", "worker/expert_reserve.h"), ("worker/spare.cc", "worker/expert_reserve.cc"), ("tests/worker/spare_test.cc", "tests/worker/expert_reserve_test.cc"),
    ("coordinator/edge/switchboard.h", "coordinator/edge/stream_registry.h"), ("coordinator/edge/switchboard.cc", "coordinator/edge/stream_registry.cc"),
    ("coordinator/edge/admin_desk.h", "coordinator/edge/admin_requests.h"), ("coordinator/edge/admin_desk.cc", "coordinator/edge/admin_requests.cc"),
    ("tests/edge/admin_desk_test.cc", "tests/edge/admin_requests_test.cc"),
    ("cli/ask.h", "cli/generate_resuming.h"), ("cli/ask.cc", "cli/generate_resuming.cc"),
    ("torture/deed.h", "torture/fault.h"), ("torture/deed.cc", "torture/fault.cc"), ("torture/deed_plan.cc", "torture/fault_plan.cc"),
    ("torture/tormentor.h", "torture/fault_injector.h"), ("torture/tormentor.cc", "torture/fault_injector.cc"), ("torture/tormentor_deeds.cc", "torture/inject.cc"),
    ("torture/asks.h", "torture/requests.h"), ("torture/asks.cc", "torture/requests.cc"), ("tests/torture/asks_test.cc", "tests/torture/requests_test.cc"),
    ("docs/decisions/0007-change-over.md", "docs/decisions/0007-staged-reconfiguration.md"), ("docs/decisions/0009-homes.md", "docs/decisions/0009-choosing-a-worker.md"),
]]

coordinator_files = {
    "admission": {"admission": "admission"},
    "schedule": {"scheduler": "scheduler", "step_draft": "step_draft", "moves": "migration", "move_pace": "migration_pace", "balance": "choose_worker",
                 "results": "results"},
    "kv": {"kv_blocks": "kv_blocks", "stay": "placed_sequence"},
    "streams": {"streams": "streams", "stop_scanner": "stop_scanner", "attach": "attach", "text_stage": "text_stage"},
    "members": {"membership": "membership", "suspects": "suspects", "watch": "watch"},
    "reconfig": {"cast": "epoch_proposal", "change_over": "staged", "epochs": "epochs", "drain": "drain", "resume": "resume",
                 "placement_inputs": "placement_inputs", "rebalance": "rebalance", "recent_load": "recent_load"},
    "placement": {"placement_policy": "placement_policy"},
    "status": {"stats": "stats", "audit": "audit", "snapshot": "snapshot"},
}
layout = []
for folder, table in coordinator_files.items():
    for old, new in table.items():
        for suffix in (".h", ".cc"):
            layout.append(Move(f"coordinator/{old}{suffix}", f"coordinator/{folder}/{new}{suffix}"))
        if new != old:
            layout.append(Move(f"tests/coordinator/{old}_test.cc", f"tests/coordinator/{new}_test.cc"))
# Folders that others made with the old words in a file's name.
for folder in ("schedule", "reconfig"):
    for old, new in {"moves": "migration", "move_pace": "migration_pace", "balance": "choose_worker", "cast": "epoch_proposal", "change_over": "staged", "stay": "placed_sequence"}.items():
        for suffix in (".h", ".cc"):
            layout.append(Move(f"coordinator/{folder}/{old}{suffix}", f"coordinator/{folder}/{new}{suffix}"))

app = [Move(f"cli/{name}", f"app/{name}") for name in
       ("flags.h", "flags.cc", "logging.h", "logging.cc", "version.h", "version.cc", "interrupt.h", "interrupt.cc", "child_process.h", "child_process.cc",
        "coordinator_flags.h", "coordinator_flags.cc", "worker_flags.h", "worker_flags.cc", "commit.cmake")]
app += [Move("cli/main.cc", "programs/conclave.cc"), Move("coordinator/main.cc", "programs/conclave_coordinator.cc"), Move("worker/main.cc", "programs/conclave_worker.cc")]

def split_programs(tree):
    """cli/CMakeLists.txt becomes app's, cli/commands.cmake cli's; the programs' targets go to programs/."""
    count = 0
    if "app/CMakeLists.txt" not in tree.exists and "cli/commands.cmake" in tree.exists:
        tree.move("cli/CMakeLists.txt", "app/CMakeLists.txt")
        tree.move("cli/commands.cmake", "cli/CMakeLists.txt")
        blocks = {}
        for path in ("app/CMakeLists.txt", "cli/CMakeLists.txt"):
            text = tree.read(path)
            for m in re.finditer(r"^conclave_program\((conclave(?:-coordinator|-worker)?)\s[^)]*\)\n", text, re.M):
                blocks[m.group(1)] = m.group()
            text = re.sub(r"^conclave_program\(conclave(?:-coordinator|-worker)?\s[^)]*\)\n", "", text, flags=re.M)
            text = re.sub(r"^include\(commands\.cmake[^)]*\)\n", "", text, flags=re.M)
            tree.write(path, re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n")
        out = "# The three programs. Each main puts parts together and does nothing else.\n"
        for name in ("conclave", "conclave-coordinator", "conclave-worker"):
            block = blocks[name]
            block = re.sub(r"(?<=SOURCES )\S+", name.replace("-", "_") + ".cc", block)
            out += re.sub(r"\n\s+", " ", block)
        tree.write("programs/CMakeLists.txt", out)
        count += 1
    for path in tree.paths():
        if path.endswith(("CMakeLists.txt", ".cmake")) or path.startswith("app/"):
            text = new = tree.read(path)
            new = re.sub(r"\bconclave_cli_(common|interrupt|process)\b", r"conclave_app_\1", new)
            new = re.sub(r"\bconclave_cli_(coordinator|worker)\b", r"conclave_app_\1_flags", new)
            if path.startswith("app/"):
                new = re.sub(r"(?<=conclave_library\()cli_(common|interrupt|process)\b", r"app_\1", new)
                new = re.sub(r"(?<=conclave_library\()cli_(coordinator|worker)\b", r"app_\1_flags", new)
                new = new.replace("generated/cli", "generated/app").replace("cli_commit", "app_commit")
            if path == "CMakeLists.txt":
                new = re.sub(r"\bsim cli torture\b", "sim app cli programs torture", new)
            if new != text:
                tree.write(path, new)
                count += 1
    return count


app.append(Call("split cli's build files", split_programs))
app += [
    Text("tools/tidy.py", '    "cli": ALL, "torture": ALL,', '    "app": ALL, "programs": ALL, "cli": ALL, "torture": ALL,'),
    Text("tools/tidy.py", r'    "programs/conclave_coordinator\.cc": ALL, "programs/conclave_worker\.cc": ALL,  # composition roots\n', "", regex=True),
    Text("tools/tidy.py", '"coordinator/edge", "worker", "worker/edge", "cli", "torture"', '"coordinator/edge", "worker", "worker/edge", "app", "programs", "cli", "torture"'),
    Text("tools/tidy.py", "|worker|cli|torture|", "|worker|app|programs|cli|torture|"),
    Text("tools/tidy.py", r'ROOTS = \["cli/", "torture/", "sim/", "tests/", "bench/", [^\]]*\]', 'ROOTS = ["app/", "programs/", "cli/", "torture/", "sim/", "tests/", "bench/"]', regex=True),
    Text("tools/tidy.py", r'("coordinator/edge/", "worker/edge/"), "programs/conclave_coordinator\.cc",\s*"programs/conclave_worker\.cc"\)', r"\1)", regex=True),
    Text("tools/tidy.py", r'NOT_PURE = \(([^)]*?),\s*"programs/conclave_coordinator\.cc",\s*"programs/conclave_worker\.cc"\)', r"NOT_PURE = (\1)", regex=True),
    Text("docs/architecture.md", "`programs/conclave_coordinator.cc` `programs/conclave_worker.cc` `cli/`", "`programs/` `app/` `cli/`"),
    Text("docs/architecture.md", "| `cli/` | the program `conclave`; flags, logging and version that all programs share |",
         "| `app/` | what every program shares: flags, logging, version, signals, child processes |\n| `programs/` | the mains of `conclave`, `conclave-coordinator` and `conclave-worker`: they put parts together |\n| `cli/` | the commands of `conclave`, one file each |"),
]

def load_edits(name):
    path = None
    for m in re.finditer(r"^@@ (\S+)$|^<<<\n(.*?)\n===\n(.*?)\n?>>>$", (HERE / "comments" / name).read_text(), re.M | re.S):
        if m.group(1):
            path = m.group(1)
        else:
            yield path, m.group(2), m.group(3)


def edits(name):
    """The comment edits of a file: where the old text is still there, in its file or, if the file is gone, in any."""
    def apply(tree):
        count, missed = 0, []
        for path, old, new in load_edits(name):
            texts = {path: tree.read(path)} if path in tree.exists else {}
            places = [p for p, t in texts.items() if old in t]
            if not places:
                places = [p for p in tree.paths() if p.endswith((".h", ".cc", ".md")) and old in tree.read(p)]
            if not places:
                if not any(new in tree.read(p) for p in tree.paths() if p.endswith((".h", ".cc", ".md", ".proto"))):
                    missed.append(f"{path}: {old.splitlines()[0][:90]}")
                continue
            for p in places:
                tree.write(p, tree.read(p).replace(old, new))
                count += 1
        for line in missed:
            tree.notes.append(f"comment not found: {line}")
        return count
    return apply


def tidy_words(tree):
    """tools/tidy.py refuses the old words and has a test for it."""
    count = 0
    text = tree.read("tools/tidy.py")
    if "def check_words" not in text:
        new = (HERE / "files/tidy_words.py").read_text()
        text = text.replace("def check_tree(root):\n", new + "def check_tree(root):\n")
        text = text.replace("                yield from check_names(path, text)\n",
                            "                yield from check_names(path, text)\n                yield from check_words(path, text)\n")
        text = text.replace("    yield from check_dead(interesting, texts)\n",
                            "    for path in files:\n        if path.endswith(\".md\") and not path.startswith((\"tests/data/\", \"models/\")) and path != \"docs/glossary.md\":\n"
                            "            yield from check_words(path, (root / path).read_text())\n    yield from check_dead(interesting, texts)\n")
        # The glossary's places are checked as the journey's are.
        text = re.sub(r'(def check_journey\(root, files\):\n)    journey = root / "docs/journey.md"\n    if not journey.exists\(\):\n        return\n'
                      r'    for number, line in enumerate\(journey.read_text\(\).split\("\n"\), 1\):\n((?:        .*\n|\n(?= {8}))+)',
                      lambda m: '''def check_journey(root, files):
    for page in ("docs/journey.md", "docs/glossary.md"):
        if (root / page).exists():
            yield from check_places(root, files, page)


def check_places(root, files, page):
    for number, line in enumerate((root / page).read_text().split("\n"), 1):
''' + m.group(2).replace("docs/journey.md:", "{page}:"), text)
        tree.write("tools/tidy.py", text)
        count += 1
    text = tree.read("tools/tidy_test.py")
    if "def test_words" not in text:
        tree.write("tools/tidy_test.py", text.replace("    def test_journey(self):\n", (HERE / "files/tidy_test_words.py").read_text() + "    def test_journey(self):\n"))
        count += 1
    return count


def glossary(tree):
    count = 0
    for name in ("docs/glossary.md",):
        new = (HERE / "files" / name).read_text()
        if name not in tree.exists or tree.read(name) != new:
            tree.write(name, new)
            count += 1
    text = tree.read("README.md")
    if "docs/glossary.md" not in text:
        tree.write("README.md", text.replace("| [docs/operations.md]", "| [docs/glossary.md](docs/glossary.md) | what our words mean, and where each is in the code |\n| [docs/operations.md]", 1))
        count += 1
    text = tree.read(".clang-format")
    if "ReflowComments" not in text:
        tree.write(".clang-format", text.rstrip("\n") + "\nReflowComments: false  # contract tables stay as they are written\n")
        count += 1
    return count


def long_comments(tree):
    count = 0
    for path in tree.paths():
        if path.endswith((".cc", ".h")):
            text = tree.read(path)
            if any(len(line) > 100 for line in text.split("\n")):
                new = engine.rewrap(engine.hoist(text))
                if new != text:
                    tree.write(path, new)
                    count += 1
    return count


words_rules = [Call("tidy refuses the old words", tidy_words), Call("glossary, .clang-format", glossary)]

COMMENTS = [Group(f"comments {name}", f"{what}, in whole sentences", [Call(f"comments of {name}", edits(name + ".txt"))]) for name, what in [
    ("base", "What base/ means"), ("kernels", "The contracts of the kernels as tables"), ("protocol", "The messages between coordinator and workers"),
    ("exchange", "What an exchange promises"), ("worker", "What the worker's parts do"), ("rest", "What the simulator checks and the torture does"),
    ("coordinator", "What the coordinator decides and when"), ("late", "What the newest parts do")]]

GROUPS = COMMENTS + [
    Group("worker ids", "A worker's index is a WorkerId, not a slot: engines mean a place for a request or for KV by that word", worker_ids),
    Group("assignments", "A (row, expert) pair is an assignment, where a row's K and V go is a KvSlot: three things were called slot", pairs),
    Group("threads", "A kernel runs on a ThreadTeam, each thread on its ThreadSlice; a lane is a part of a vector register again", threads),
    Group("worker", "What a worker prepares for the next epoch is staged; memory is reserved and prefaulted, as everybody says", worker_words),
    Group("protocol", "One word for one thing between coordinator and worker: a StepRequest, a message from the coordinator, a poll count", protocol_words),
    Group("requests", "What a client sends is a request with parameters; events and effects say who sends what to whom", request_words),
    Group("schedule", "The scheduler speaks of placed sequences, migration targets, chunks in flight and worker candidates", schedule_words),
    Group("membership", "The coordinator proposes epochs, decides drains and judges the health of workers", membership_words),
    Group("edge", "Who carries effects to streams is a registry of them; operators' requests and flight records are called that", edge_words),
    Group("timeouts", "A duration after which something is given up is a timeout, in code, flags and docs", timeouts),
    Group("torture", "The torture injects faults; joiners are rejected, processes reaped and their exit described", torture_words),
    Group("sim", "A place where simulated processes run is a machine", sim_words),
    Group("files", "Files are named after what is in them now", files),
    Group("coordinator layout", "coordinator/ in folders that say what they decide, in the order in which data flows", layout),
    Group("app", "The three programs' mains and what every program shares get folders of their own: no core folder needs an exception", app),
    Group("glossary", "A glossary; tidy refuses the words it replaced, and phrases without a subject", words_rules),
    Group("long comments", "Comments end at column 100", [Call("long comments", long_comments)]),
]
