"""The engine of apply.py: rules over the zones of a file (code, comment, string, doc), file moves, reports."""
import difflib
import fnmatch
import pathlib
import regex as re
import shutil
import subprocess

CPP = {".cc", ".h", ".cu", ".proto"}
DOC = {".md", ".py", ".sh", ".yml", ".yaml"}
BUILD = {".cmake", ".txt"}
SKIP = ("tests/data/", "tools/rename/", "models/", "text/rust/target", "third_party/", "proto/google/", "build/", ".cache/")
HERE = pathlib.Path(__file__).resolve().parent
CLANG_FORMAT = shutil.which("clang-format") or HERE / "venv/bin/clang-format"
STYLE = "{BasedOnStyle: Google, ColumnLimit: 100, ReflowComments: false}"


def matches(path, globs):
    return any(fnmatch.fnmatch(path, g) for g in globs)


TOKEN = re.compile(r'''
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<raw>R"(?P<d>[^()\\\s]{0,16})\(.*?\)(?P=d)")
  | (?P<include>^[ \t]*\#[ \t]*include[ \t]*"[^"\n]*")
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<char>(?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+')
''', re.S | re.X | re.M)


def zones_of(path, text):
    """[(zone, text)] that join to the text."""
    suffix = pathlib.Path(path).suffix
    if suffix not in CPP:
        return [("build" if suffix in BUILD else "doc", text)]
    out, at = [], 0
    for m in TOKEN.finditer(text):
        if m.start() > at:
            out.append(("code", text[at:m.start()]))
        kind = m.lastgroup if m.lastgroup != "d" else "raw"
        if m.group("comment") is not None:
            kind = "comment"
        elif m.group("raw") is not None or m.group("string") is not None:
            kind = "string"
        elif m.group("include") is not None:
            kind = "include"
        else:
            kind = "code"
        out.append((kind, m.group()))
        at = m.end()
    if at < len(text):
        out.append(("code", text[at:]))
    # Full-line comments that follow one another are one zone: a phrase may go over a line's end.
    merged = []
    for zone, part in out:
        if (zone == "comment" and part.startswith("//") and len(merged) >= 2 and merged[-1][0] == "code"
                and re.fullmatch(r"\n[ \t]*", merged[-1][1]) and merged[-2][0] == "comment"
                and merged[-2][1].startswith("//")):
            gap = merged.pop()[1]
            merged[-1] = ("comment", merged[-1][1] + gap + part)
        else:
            merged.append((zone, part))
    return merged


class Rule:
    def __init__(self, name, pattern, repl, zones, only=None, skip=(), new=None, ok=False, flags=0):
        self.name, self.repl, self.zones = name, repl, zones
        self.regex = re.compile(pattern, flags)
        self.only, self.skip, self.new, self.ok = only, tuple(skip), new, ok
        self.count, self.literal = 0, None

    def wants(self, path):
        return (self.only is None or matches(path, self.only)) and not matches(path, self.skip)


def globs(value):
    if value is None:
        return None
    return value.split() if isinstance(value, str) else list(value)


def Type(old, new, only=None, skip="", ok=False):
    """A distinctive identifier: code, comments and docs."""
    rule = Rule(f"{old} -> {new}", rf"\b{old}\b(?!(?:_test)?\.(?:cc|h|md)\b)", new, {"code", "comment", "doc"}, globs(only), globs(skip), new, ok)
    rule.literal = old
    return rule


def Var(old, new, only=None, skip="", ok=False):
    """A word that is also plain English: code, and comments and docs between backticks. `old_`, too."""
    rules = [Rule(f"{old} -> {new}", rf"(?<![\w\"]){old}(_?)(?!\w)", rf"{new}\1", {"code"}, globs(only), globs(skip), new, ok),
             Rule(f"`{old}` -> `{new}`", rf"(?<=`){old}(_?)(?=[`.])", rf"{new}\1", {"comment"}, globs(only), globs(skip))]
    for rule in rules:
        rule.literal = old
    return rules


def Fallback(old, new, other, only=None, skip=""):
    """Var, with another name in files that use the new one already."""
    rule = Rule(f"{old} -> {new} or {other}", rf"(?<![\w\"]){old}(_?)(?!\w)", rf"{new}\1", {"code"}, globs(only), globs(skip), new, True)
    rule.other = other
    return [rule]


def Proto(old, new, only, skip=""):
    """A field of a message and its accessors."""
    return Rule(f"proto {old} -> {new}", rf"\b((?:set_|mutable_|has_|add_|clear_)?){old}((?:_size)?)\b",
                rf"\g<1>{new}\2", {"code"}, globs(only), globs(skip))


def Code(pattern, repl, only=None, skip="", flags=0):
    return Rule(f"code /{pattern}/", pattern, repl, {"code"}, globs(only), globs(skip), flags=flags)


def Words(pattern, repl, only=None, skip=""):
    """A phrase of comments and docs; a blank in it may be a line's end."""
    flexible = pattern.replace(" ", r"(?:[ \t]*\n[ \t]*//[ \t]*|[ \t]*\n[ \t]*|[ \t]+)")
    return Rule(f"words /{pattern}/", flexible, repl, {"comment", "doc"}, globs(only), globs(skip))


def Str(pattern, repl, only=None, skip="", doc=True):
    """A phrase of string literals, and of docs that show them."""
    zones = {"string", "doc"} if doc else {"string"}
    return Rule(f"string /{pattern}/", pattern, repl, zones, globs(only), globs(skip))


def All(pattern, repl, only=None, skip="", flags=0):
    return Rule(f"all /{pattern}/", pattern, repl, {"code", "comment", "string", "doc", "build", "include"}, globs(only), globs(skip), flags=flags)


class Text:
    """An exact piece of text, or a pattern over the whole file."""
    def __init__(self, only, old, new, regex=False):
        self.only, self.old, self.new, self.regex, self.count = globs(only), old, new, regex, 0
        self.name = f"text in {only}: {old[:50]!r}"


class Move:
    def __init__(self, old, new):
        self.old, self.new, self.count = old, new, 0
        self.name = f"move {old} -> {new}"


class Call:
    """A function of the tree, for what is not a replacement."""
    def __init__(self, name, function):
        self.name, self.function, self.count = name, function, 0


class Group:
    def __init__(self, name, message, rules):
        self.name, self.message = name, message
        self.rules = []
        for rule in rules:
            self.rules.extend(rule if isinstance(rule, list) else [rule])


class Tree:
    def __init__(self, root, report):
        self.root, self.report = pathlib.Path(root).resolve(), report
        self.texts, self.moved, self.collisions = {}, [], []
        self.exists = self.list_files()
        self.original = {}  # path -> words of its code before anything was renamed

    def list_files(self):
        listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard"],
                                capture_output=True, text=True, check=True).stdout.split("\n")
        return {n for n in listed if n and (self.root / n).is_file() and not (self.root / n).is_symlink()}

    def interesting(self, path):
        if path.startswith(SKIP):
            return False
        name = pathlib.Path(path)
        return (name.suffix in CPP | DOC | BUILD or name.name in ("Makefile", "buf.yaml")
                or path.startswith(("tools/", ".ci/")))

    def read(self, path):
        if path not in self.texts:
            self.texts[path] = (self.root / path).read_text()
        return self.texts[path]

    def words_of(self, path):
        if path not in self.original:
            self.original[path] = code_words(zones_of(path, self.read(path)))
        return self.original[path]

    def write(self, path, text):
        self.texts[path] = text
        self.exists.add(path)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def paths(self):
        return sorted(p for p in self.exists if self.interesting(p))

    def move(self, old, new):
        text = self.read(old)
        self.original[new] = self.words_of(old)
        (self.root / new).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "-C", str(self.root), "mv", old, new], check=True)
        self.exists.discard(old)
        self.texts.pop(old, None)
        self.exists.add(new)
        self.texts[new] = text
        self.moved.append((old, new))
        getattr(self, 'touched', set()).add(new)


def code_words(zones):
    return set(re.findall(r"[A-Za-z_]\w*", " ".join(t for z, t in zones if z == "code")))


def apply_rules(tree, rules):
    for path in tree.paths():
        if path in ("tools/tidy.py", "tools/tidy_test.py", "docs/glossary.md"):  # they name the old words
            continue
        wanted = [r for r in rules if r.wants(path)]
        if not wanted:
            continue
        text = before = tree.read(path)
        zones = None
        for rule in wanted:
            if (rule.literal is not None and rule.literal not in text) or not rule.regex.search(text):
                continue
            if path.endswith((".cc", ".h")):
                tree.words_of(path)
            zones = zones or zones_of(path, text)
            repl, hits, hits_code = rule.repl, 0, 0
            other = getattr(rule, "other", None)
            if other is not None and rule.new in {w.rstrip("_") for w in code_words(zones)} | code_words(zones):
                repl = rule.repl.replace(rule.new, other, 1)
            if rule.new is not None and not rule.ok and path.endswith((".cc", ".h")):
                words = tree.words_of(path)
                if rule.new in words and any(z == "code" and rule.regex.search(t) for z, t in zones):
                    tree.collisions.append(f"{path}: {rule.name}: {rule.new} is there already")
            out = []
            for zone, part in zones:
                if zone in rule.zones:
                    part, n = rule.regex.subn(repl, part)
                    hits += n
                out.append(part)
            rule.count += hits
            if hits:
                text, zones = "".join(out), None
        if text != before:
            tree.write(path, text)


def apply_text(tree, rule):
    for path in tree.paths() if True else []:
        if not matches(path, rule.only):
            continue
        text = tree.read(path)
        if rule.regex:
            new, n = re.subn(rule.old, rule.new, text, flags=re.S | re.M)
        else:
            n = text.count(rule.old)
            new = text.replace(rule.old, rule.new)
        rule.count += n
        if new != text:
            tree.write(path, new)


def apply_moves(tree, moves):
    done = []
    for move in moves:
        if move.old in tree.exists and move.new not in tree.exists:
            tree.move(move.old, move.new)
            move.count += 1
            done.append(move)
        elif move.new in tree.exists and move.old not in tree.exists:
            move.count += 1  # done before
    if not done:
        return
    table = {m.old: m.new for m in done}
    # Full paths: includes, docs, build files.
    full = re.compile(r"(?<![\w/.-])(" + "|".join(sorted(map(re.escape, table), key=len, reverse=True)) + r")(?![\w])")
    for path in tree.paths():
        text = tree.read(path)
        new = full.sub(lambda m: table[m.group(1)], text)
        folder = path.rsplit("/", 1)[0] if "/" in path else ""
        if path.endswith(("CMakeLists.txt", ".cmake")):
            for move in done:
                old_folder, old_name = move.old.rsplit("/", 1) if "/" in move.old else ("", move.old)
                if move.old.endswith((".cc", ".h", ".cmake")) and (old_folder == folder or old_folder.startswith(folder + "/")):
                    relative = move.old[len(folder) + 1:] if folder else move.old
                    if move.new.startswith(folder + "/"):
                        target = move.new[len(folder) + 1:]
                        new = re.sub(rf"(?<![\w/.-]){re.escape(relative)}(?![\w])", target, new)
        elif path.endswith((".cc", ".h")):
            # includes relative to the including file's folder ("rig.h")
            for move in done:
                old_folder, old_name = move.old.rsplit("/", 1)
                if old_folder == folder and move.new.rsplit("/", 1)[0] == folder:
                    new = new.replace(f'#include "{old_name}"', f'#include "{move.new.rsplit("/", 1)[1]}"')
        elif path.endswith(".md"):
            # links relative to the document's folder
            for move in done:
                old_folder, old_name = move.old.rsplit("/", 1) if "/" in move.old else ("", move.old)
                new_name = move.new.rsplit("/", 1)[-1]
                if move.old.endswith(".md"):
                    new = re.sub(rf"(?<=[(/]){re.escape(old_name)}(?=[)#])", new_name, new)
                if old_folder == folder:
                    new = re.sub(rf"(?<=[(]){re.escape(old_name)}(?=[)#])", new_name, new)
        if new != text:
            tree.write(path, new)
    for path in tree.paths():
        if path.endswith((".cc", ".h")):
            text = tree.read(path)
            new = sort_includes(path, text)
            if new != text:
                tree.write(path, new)


def sort_includes(path, text):
    """Each run of #include lines in order; the file's own header stays first by its blank line."""
    lines, out, run = text.split("\n"), [], []

    def flush():
        quoted = [l for l in run if l.startswith('#include "')]
        if len(quoted) == len(run) and len(run) > 1:
            run.sort()
        out.extend(run)
        run.clear()
    for line in lines:
        if line.startswith("#include "):
            run.append(line)
        else:
            flush()
            out.append(line)
    flush()
    return "\n".join(out)


# ---- shape

def changed_lines(before, after):
    spans = []
    for tag, _, _, j1, j2 in difflib.SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False).get_opcodes():
        if tag != "equal" and j2 > j1:
            spans.append((j1 + 1, j2))
    return spans


def clang_format(text, path):
    command = [str(CLANG_FORMAT), f"--style={STYLE}", f"--assume-filename={path}"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def rewrap(text):
    """Full-line comment paragraphs with a line beyond 100 columns are filled again; tables are left alone."""
    lines, out, i = text.split("\n"), [], 0
    while i < len(lines):
        m = re.match(r"^( *)// ?(?=\S)(?!  )", lines[i])
        if not m or re.match(r"^ *//  ", lines[i]):
            out.append(lines[i])
            i += 1
            continue
        indent = m.group(1)
        j = i
        while j < len(lines) and re.match(rf"^{indent}// \S", lines[j]) and not re.match(rf"^{indent}// (-|\d+\.|//) ", lines[j]):
            j += 1
        j = max(j, i + 1)
        paragraph = lines[i:j]
        if any(len(l) > 100 for l in paragraph) and not any(re.search(r"\S {2,}\S", l) and not re.search(r"[.:;?] {2}\S", l) for l in paragraph):
            words = " ".join(l[len(indent) + 3:].strip() for l in paragraph).split(" ")
            line = indent + "//"
            for word in words:
                if len(line) + 1 + len(word) > 100:
                    out.append(line)
                    line = indent + "//"
                line += " " + word
            out.append(line)
        else:
            out.extend(paragraph)
        i = j
    return "\n".join(out)


COMMENTED = re.compile(r'^( *)((?:[^"/\n]|"(?:\\.|[^"\\\n])*"|/(?!/))+?) *// (.*)$')


def hoist(text):
    """A trailing comment for which there is no room goes above its line, and what the formatter broke for it is joined."""
    lines, out = text.split("\n"), []
    i = 0
    while i < len(lines):
        line = lines[i]
        m = COMMENTED.match(line)
        broken = bool(m and out and re.search(r"[=(]$", out[-1]) and len(out[-1]) - len(out[-1].lstrip()) < len(m.group(1))
                      and m.group(2).endswith((";", "{")) and len(out[-1]) + len(m.group(2)) < 99
                      and (out[-1].endswith("=")))
        if not m or line.lstrip().startswith("//") or not (len(line) > 100 or broken) or "NOLINT" in line:
            out.append(line)
            i += 1
            continue
        indent, code, comment = m.groups()
        column = line.index("// " + comment)
        j = i + 1
        while j < len(lines) and re.match(rf"^ {{{column}}}// ", lines[j]):
            comment += " " + lines[j].strip()[3:]
            j += 1
        if broken:
            first = out.pop()
            indent = first[:len(first) - len(first.lstrip())]
            code = first.strip() + " " + code
        out.append(f"{indent}// {comment}")
        out.append(indent + code.rstrip())
        i = j
    return "\n".join(out)


def shape(path, before, after):
    if path.endswith(".proto"):
        return after
    text = clang_format(hoist(after), path)
    text = clang_format(hoist(text), path)
    return rewrap(text)
