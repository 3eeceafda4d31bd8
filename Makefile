# `make` lists the targets. Everything uses the dev profile, so clippy, tests and demo share one build.

CARGO ?= cargo
PHOTOS ?=
ARCH ?=
TESTS ?=
DEMO_ARGS ?=
FIELD ?=
SECTION ?=
PARTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test format lint unit doc deny bench evaluation link-faults hostile kills power-cuts backlog fleet
.PHONY: bench-flash bench-states formats home-assistant page-bench page-scan placeholder field fuzz fuzz-deep soak sources camera packages try-arm64 simulate
.PHONY: providers container add-on try-container fleet-flower

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## get the ONNX Runtime library into .ort/ and make the backbones in models/
	@tools/setup.sh

demo: setup ## show the main job in under a minute; PHOTOS=dir takes your own folder-per-class photographs
	@$(CARGO) build --locked --package edgetuned --package edgetuned-demo --bins
	@$${CARGO_TARGET_DIR:-target}/debug/demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(DEMO_ARGS)

test: ## everything that CI checks
	@tools/setup.sh tests
	@$(MAKE) --no-print-directory format lint unit doc deny

format: ## check the format
	$(CARGO) fmt --check

lint: ## clippy, warnings denied
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit: setup ## the tests alone, and which of them were skipped; TESTS='--test broker' runs those
	@CARGO="$(CARGO)" tools/test.sh $(TESTS)

# made anew each time: cargo does not see that sources of edgetuned-learn changed, they lie outside its folder
doc: ## the documentation, warnings denied
	@$(CARGO) clean --doc --quiet
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps --locked --document-private-items

deny: ## licences and sources of dependencies, where cargo-deny is installed
	@PATH="$$PATH:$$PWD/target/tools/bin"; if command -v cargo-deny >/dev/null; then \
		$(CARGO) deny --locked check licenses bans sources; \
	else \
		echo "deny: not checked, cargo-deny is not installed (cargo install cargo-deny --locked)"; \
	fi

bench: setup ## the program's own speed
	$(CARGO) bench --locked

evaluation: setup ## measure every claim about learning beside its peer, into docs/evaluation.md; SECTION=accuracy one part
	$(CARGO) bench --locked --profile dev --bench evaluation -- $(if $(SECTION),--only $(SECTION)) --write docs/evaluation.md

bench-states: setup ## states from frames beside the rules of its peers, into docs/evaluation.md
	$(CARGO) bench --locked --profile dev --bench states -- --write docs/evaluation.md

bench-flash: setup ## what an image costs in writes to flash, beside its bytes; as root at the device; PARTS='stream slow' those
	PATH="$$PATH:/usr/sbin" $(CARGO) bench --locked --profile dev --bench flash -- $(PARTS)

page-bench: setup ## how light and quick the page and its HTTP API are, beside their bars; needs chromium-driver; PARTS='weight acts' those
	PATH="$$PATH:/usr/sbin" $(CARGO) bench --locked --bench page -- $(PARTS)

link-faults: setup ## 500 faults of the link while 2,000 images are predicted; LINK_SEED=17 plays other ones
	PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test link_faults -- --ignored --nocapture

hostile: setup ## 100,000 hostile messages to the daemon; HOSTILE_SEED=17 sends other ones
	PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test hostile -- --ignored --nocapture

kills: setup ## 200 times kill -9 of a daemon at work, 200 times with four tasks, and 200 times while it tunes; KILL_SEED=17 plays other instants
	PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test kills -- --ignored --nocapture --test-threads 1

power-cuts: ## power cuts in POWER_LIVES lives at every sync and POWER_CUTS other places; POWER_SEED=17 plays others
	$(CARGO) test --locked --test power -- --ignored --nocapture

simulate: ## 100,000 lives in which everything is played; SIMULATE_LIVES=500 plays fewer, SIMULATE_FROM=9000 others, SIMULATE_SEED=17 one
	SIMULATE_LIVES=$${SIMULATE_LIVES:-100000} $(CARGO) test --locked --test simulate everything -- --nocapture

backlog: setup ## 100,000 files in the watched folder at the start; BACKLOG_SEED=17 draws other ones
	PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test backlog -- --ignored --nocapture

fleet: setup ## collect from 100 clients and 3 daemons in their own networks over two bridged brokers; needs root
	PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test fleet -- --ignored --nocapture

placeholder: setup ## a day of the same picture under new names, one file in ten broken
	PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test placeholder -- --ignored --nocapture

formats: setup ## what pandas, datasets and Label Studio make of files of labels; needs Python 3.11 or newer (PYTHON=…)
	python=$$(tools/formats.sh) && EDGETUNED_FORMATS_PYTHON=$$python $(CARGO) test --locked --test cli readers

providers: setup ## execution providers of ONNX Runtime that any machine can try, 190 MB of wheels; x86_64
	folder=$$(tools/providers.sh) && EDGETUNED_PROVIDERS=$$folder $(CARGO) test --locked --test cli providers

home-assistant: ## Home Assistant's own word on the discovery documents; needs Python 3.13 (PYTHON=…) and a C compiler
	python=$$(tools/home_assistant.sh) && \
		EDGETUNED_HA_PYTHON=$$python PATH="$$PATH:/usr/sbin" $(CARGO) test --locked --test home_assistant

fleet-flower: setup ## fleet/flower with Flower's processes and three daemons; needs Python 3.11 or newer (PYTHON=…)
	@$(CARGO) build --locked --bin edgetuned
	@tools/fleet_flower.sh

page-scan: setup ## scanners at the HTTP door: schemathesis, wapiti, slowhttptest, promtool
	@$(CARGO) build --locked --bin edgetuned --example camera
	@tools/page_scan.sh

field: ## the cases from the field that lie beside the checkout; FIELD='c12 m0' plays those
	@CARGO="$(CARGO)" tools/field.sh $(FIELD)

fuzz: ## hostile messages against the codec alone, for FUZZ_SECONDS
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(CARGO) test --locked --test fuzz -- --nocapture

fuzz-deep: ## libFuzzer on all that comes from outside, FUZZ_SECONDS of processor time a target; needs nightly and cargo-fuzz
	tools/fuzz.sh $${FUZZ_SECONDS:-600}

sources: setup ## ten cameras, two pictures a second each, for SOURCES_SECONDS (600)
	PATH="$$PATH:/usr/sbin" SOURCES_SECONDS=$${SOURCES_SECONDS:-600} $(CARGO) test --locked --test pipeline ten_cameras -- --ignored --nocapture

soak: setup ## half an hour of everything at once, into docs/soak.svg; SOAK_MINUTES=60 plays more
	PATH="$$PATH:/usr/sbin" SOAK_OUT=target/soak $(CARGO) test --locked --test soak -- --ignored --nocapture
	cp target/soak/soak.svg docs/soak.svg

camera: ## draw docs/camera.jpg anew
	$(CARGO) run --locked --example camera -- --sheet docs/camera.jpg --size 160 120

packages: ## build the Debian packages into target/packages; ARCH=amd64 builds that one, arm64 needs root
	@packaging/build.sh $(ARCH)

try-arm64: ## run the packaged arm64 program under qemu; needs root and both packages
	@packaging/try-arm64.sh

container: ## build the container image edgetuned:VERSION of the package in target/packages; ARCH=arm64 the other one
	@packaging/container/build.sh $(ARCH)

add-on: ## put the Home Assistant add-on, with the packages in it, into target/packages/home-assistant
	@packaging/home-assistant/pack.sh

try-container: ## build and run image and add-on by podman, and hold them to what docs/containers.md says; needs root
	@packaging/container/try.sh
