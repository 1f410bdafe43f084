# The entry points. Each is idempotent: a second run is quick.
.PHONY: setup build test demo clean
setup:
	@tools/setup
build: setup
	@tools/build
test: build
	@tools/test
demo: build
	@tools/demo
clean:
	rm -rf build
