# The entry points. Each is idempotent: a second run is quick.
.PHONY: setup build test demo sanitize clean
setup:
	@tools/setup
build: setup
	@tools/build
test: build
	@tools/test
demo: build
	@tools/demo
sanitize: setup
	@tools/sanitize
clean:
	rm -rf build
