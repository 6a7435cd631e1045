# Every target does its own set-up; a second run starts at once.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin
# Where this is set every process compiles all that it imports anew: seconds for each of hundreds of them.
unexport PYTHONDONTWRITEBYTECODE
SCENE ?= yard
WORKERS = -n auto --maxprocesses 4 --dist loadfile
# What a real node needs of Debian; CNI's plugins have no program on PATH.
CLUSTER = containerd=containerd runc=runc iptables=iptables conntrack=conntrack ip=iproute2 gcc=gcc ../include/arpa=libc6-dev curl=curl nsenter=util-linux sysctl=procps \
	../lib/cni/bridge=containernetworking-plugins buildah=buildah \
	qemu-aarch64-static=qemu-user-static
DEMO = $(VENV)/umiak demo $(if $(DATA),--data "$(DATA)",--scene $(SCENE)) $(DEMO_ARGS)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup-run ## the whole loop on this machine (SCENE=yard|street, DATA=DIR, DEMO_ARGS="--headless --json out.json")
	@tools/apt.sh want mosquitto=mosquitto || true
	@$(DEMO)

.PHONY: test
test: ## every test: unit, processes, broker, browser, a real Kubernetes API server; as root on Linux a real cluster
	@tools/apt.sh $(if $(CI),need,want) mosquitto=mosquitto chromium=chromium prometheus=prometheus promtool=prometheus nginx=nginx-light \
		pg_ctlcluster=postgresql
	@[ "$$(id -u)" != 0 ] || tools/apt.sh $(if $(CI),need,want) $(CLUSTER)
	@tools/test.sh $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: setup-dev ## only the tests that start no process (seconds)
	@$(VENV)/python -m pytest -m "not processes and not apiserver and not browser and not cluster and not toxiproxy and not train" $(WORKERS) $(PYTEST_ARGS)

.PHONY: check
check: setup-dev ## ruff, mypy --strict, import-linter
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports

.PHONY: format
format: setup-dev ## format and mend what ruff can
	@$(VENV)/ruff format . && $(VENV)/ruff check --fix .

.PHONY: kube
kube: ## build (once) or find kube-apiserver, etcd, controller-manager, scheduler, kubectl, kwok, helm
	@tools/kube/provision.py >/dev/null

.PHONY: images
images: setup-dev ## build the container images (ARCH=amd64|arm64, IMAGES="edge hub", ARGS="--torch cuda")
	@docker info >/dev/null 2>&1 || command -v podman buildah >/dev/null || tools/apt.sh need buildah=buildah
	@$(VENV)/python tools/images/build.py --arch $(or $(ARCH),amd64) $(ARGS) $(IMAGES)

.PHONY: push-images
push-images: ## push what make images has built (REGISTRY=registry.example/team, IMAGES="edge hub")
	@$(if $(REGISTRY),,echo "push-images: say where to: REGISTRY=registry.example/team" >&2; exit 1;) tools/images/push.py $(ARGS) $(REGISTRY) $(IMAGES)

.PHONY: dashboards
dashboards: setup-dev ## write the Grafana dashboards and their page again (tools/dashboard_panels.py says what they show)
	@$(VENV)/python tools/dashboards.py

.PHONY: lock
lock: setup-dev ## resolve the dependencies again and write the lock files
	@tools/lock.sh

.PHONY: weights
weights: setup-dev ## train the built-in models again into build/weights (about an hour of CPU)
	@$(VENV)/umiak train builtin yard-edge --out build/weights/yard-edge
	@$(VENV)/umiak train builtin yard-cloud --out build/weights/yard-cloud
	@$(VENV)/umiak train sam --out build/weights/yard-sam
	@$(VENV)/umiak train detection --data 'yard:day?seed=301&frames=480&shot=1' --val 'yard:day?seed=401&frames=60&shot=1' \
		--val 'yard:dusk?seed=402&frames=60&shot=1' --start builtin:yard-edge --out build/weights/yard-detector-edge \
		--height 192 --width 256 --epochs 16
	@$(VENV)/umiak train detection --data 'yard:day?seed=311&frames=320&shot=1' --data 'yard:dusk?seed=312&frames=250&shot=1' \
		--data 'yard:day?seed=313&frames=40&shot=1&weather=rain' --data 'yard:dusk?seed=314&frames=40&shot=1&weather=fog' \
		--val 'yard:day?seed=401&frames=60&shot=1' --val 'yard:dusk?seed=402&frames=60&shot=1' --start builtin:yard-edge \
		--out build/weights/yard-detector-cloud --height 240 --width 320 --decoder 48 --epochs 14
	@$(VENV)/umiak train keypoints --data 'figures:day?seed=21&frames=1200' --val 'figures:day?seed=31&frames=100' \
		--val 'figures:dusk?seed=32&frames=60' --out build/weights/figure-keypoints-edge --epochs 16
	@$(VENV)/umiak train keypoints --data 'figures:day?seed=21&frames=1200' --data 'figures:dusk?seed=22&frames=600' \
		--val 'figures:day?seed=31&frames=100' --val 'figures:dusk?seed=32&frames=60' --stages 4 --height 160 --width 160 \
		--out build/weights/figure-keypoints-cloud --epochs 14

.PHONY: setup-run setup-dev
setup-run:
	@tools/setup.sh run
setup-dev:
	@tools/setup.sh dev

.PHONY: clean
clean: ## remove the environment and caches of this checkout
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
