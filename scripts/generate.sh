#!/usr/bin/env bash
# Generates the Go code of the event schema with pinned tools.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
tools=$PWD/bin/tools
mkdir -p "$tools"
GOBIN=$tools go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN=$tools go install github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto@v0.6.0
GOBIN=$tools go install github.com/bufbuild/buf/cmd/buf@v1.75.0
PATH=$tools:$PATH buf lint
PATH=$tools:$PATH buf generate
