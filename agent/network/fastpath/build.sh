#!/bin/sh
# Compiles the fast path for the hosts: fastpath.o, beside its source, is not kept in the repository. Once for all kernels:
# it looks into none of their structures.
# usage: build.sh [OBJECT]
set -eu
cd "$(dirname "$0")"
object=${1:-fastpath.o}
# Whole or not at all: swarmd may start meanwhile. What it says of its source is the same wherever that lies.
clang -O2 -g -Wall -Werror -target bpf -ffile-prefix-map="$PWD"=. -I"/usr/include/$(uname -m)-linux-gnu" -c fastpath.bpf.c -o "$object.$$"
mv "$object.$$" "$object"
