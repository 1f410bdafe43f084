#!/usr/bin/env python3
"""Every rule of tidy.py finds a planted offence, and a clean tree has none."""
import pathlib
import tempfile
import unittest

import tidy

CMAKE = "conclave_library(x SOURCES a.cc main.cc big.cc codec.cc a_test.cc)\n"


class TidyTest(unittest.TestCase):
    def findings(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {"base/CMakeLists.txt": CMAKE, **files}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return list(tidy.check_tree(root))

    def assert_found(self, files, words):
        found = self.findings(files)
        self.assertTrue(any(words in f for f in found), f"wanted {words!r} in {found}")

    def test_clean_tree(self):
        self.assertEqual(self.findings({
            "base/a.h": "#pragma once\n", "base/a.cc": '#include "base/a.h"\nint F() {\n  return 1;\n}\n',
            "tests/base/a_test.cc": '#include "base/a.h"\n'}), [])

    def test_layers(self):
        self.assert_found({"base/a.cc": '#include "worker/core.h"\n'}, "base may not include worker/core.h")
        self.assert_found({"coordinator/a.cc": '#include "worker/core.h"\n'}, "coordinator may not include worker")
        self.assert_found({"worker/edge/a.cc": '#include "coordinator/core.h"\n'}, "worker/edge may not include")
        self.assert_found({"worker/a.cc": '#include "worker/edge/b.h"\n'}, "worker may not include worker/edge/b.h")
        self.assert_found({"kernels/a.cc": '#include "model/config.h"\n'}, "kernels may not include model/config.h")

    def test_third_parties(self):
        self.assert_found({"coordinator/a.cc": "#include <grpcpp/grpcpp.h>\n"}, "<grpcpp/grpcpp.h> belongs in")
        self.assert_found({"worker/edge/a.cc": "#include <ucp/api/ucp.h>\n"}, "<ucp/api/ucp.h> belongs in")
        self.assert_found({"worker/a.cc": "#include <thread>\n"}, "<thread> belongs in")
        self.assert_found({"exchange/a.cc": "#include <chrono>\n"}, "<chrono> belongs in")

    def test_names(self):
        self.assert_found({"worker/a.cc": "auto t = std::chrono::steady_clock::now();\n"}, "may not say std::chrono")
        self.assert_found({"base/a.cc": "float x = std::exp(1.0f);\n"}, "other bits on other machines")
        self.assertFalse([f for f in self.findings({"worker/edge/a.cc": "getenv(x);\n"}) if "may not say" in f])
        self.assertFalse([f for f in self.findings({"base/a.cc": "// getenv is banned\n"}) if "may not say" in f])

    def test_unfinished(self):
        self.assert_found({"base/a.cc": "// TODO later\n"}, "unfinished")
        self.assertFalse([f for f in self.findings({"base/a.cc": "// TODO(#4) later\n"}) if "unfinished" in f])

    def test_lengths(self):
        self.assert_found({"base/a.cc": "\n" * 501}, "501 lines, more than 500")
        body = "int F(int a) {\n" + "  a++;\n" * 70 + "}\n"
        self.assert_found({"base/a.cc": body}, "function of 71 lines")
        method = "class C {\n  void F() const {\n" + "    a++;\n" * 70 + "  }\n};\n"
        self.assert_found({"base/a.cc": method}, "function of 71 lines")
        self.assert_found({"tools/a.py": "def f():\n" + "    x = 1\n" * 71}, "function of 73 lines")

    def test_dead_files(self):
        self.assert_found({"base/lost.cc": ""}, "base/lost.cc: in no target")
        self.assert_found({"base/lost.h": ""}, "base/lost.h: included nowhere")

    def test_mirror(self):
        self.assert_found({"exchange/a.cc": ""}, "exchange/: no tests/exchange/*_test.cc")

    def test_journey(self):
        journey = "| 1 | `base/a.cc` · Start, Stop | |\n"
        self.assert_found({"docs/journey.md": journey}, "base/a.cc does not exist")
        self.assert_found({"docs/journey.md": journey, "base/a.cc": "void Start();\n"}, "base/a.cc has no Stop")


if __name__ == "__main__":
    unittest.main()
