    def test_words(self):
        self.assert_found({"base/a.h": "struct Tormentor {};\n"}, "Tormentor is called FaultInjector")
        self.assert_found({"base/a.h": "// The Understudy.\n"}, "Understudy is called MigrationTarget")
        self.assert_found({"base/a.h": "Micros load_limit = 1;\n"}, "load_limit is a duration")
        self.assert_found({"base/a.h": "int a;  // waits so long\n"}, "'so long': say what")
        self.assert_found({"docs/a.md": "Whoever comes.\n"}, "'Whoever': say what")
        clean = {"base/a.h": 'KvSlot slot;  // "so long" is for comments\n'}
        self.assertTrue([f for f in self.findings(clean) if "say what" in f])
        self.assertFalse([f for f in self.findings({"base/a.h": 'f("so long");\nKvSlot s;\n'}) if "called" in f or "say what" in f])

