# The entry points. Each is idempotent: a second run is quick. tools/step says which step runs and how far it is.
.PHONY: setup build test demo sanitize clean
setup:
	@tools/step 1/1 "packages of Debian 12 that this build needs" tools/setup
build:
	@tools/step 1/2 "packages of Debian 12 that this build needs" tools/setup
	@tools/step 2/2 "compiling everything into build/" tools/build
test:
	@tools/step 1/3 "packages of Debian 12 that this build needs" tools/setup
	@tools/step 2/3 "compiling programs and tests into build/" tools/build
	@tools/step 3/3 "running every test" tools/test
demo:
	@tools/step 1/3 "packages of Debian 12 that this build needs" tools/setup
	@tools/step 2/3 "compiling the three programs of the demo into build/" tools/build demo
	@tools/step 3/3 "a cluster of five processes tells a tale" tools/demo
sanitize:
	@tools/step 1/2 "packages of Debian 12 that this build needs" tools/setup
	@tools/step 2/2 "compiling and running tests under sanitizers" tools/sanitize
clean:
	rm -rf build
