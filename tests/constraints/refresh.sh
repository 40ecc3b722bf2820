#!/usr/bin/env bash
# Write pythonX.Y.txt beside this file: the newest versions that pip takes today for fundusd and its test tools,
# for each supported Python that is installed. Run the tests with them before committing the files.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for version in 3.11 3.12 3.13; do
    if ! "python$version" --version >/dev/null 2>&1; then
        echo "python$version is not installed: its file stays as it is."
        continue
    fi
    "python$version" -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --upgrade 'pip>=25.1'
    "$work/$version/bin/pip" install --quiet "$here/../.." --group "$here/../../pyproject.toml:dev"
    {
        echo "# Made by tests/constraints/refresh.sh: what the tests of Python $version run with."
        # without torch's local version and the libraries of CUDA: builds for the processor and for CUDA both fit
        "$work/$version/bin/pip" freeze --exclude fundusd |
            sed 's/^\(torch==[0-9.]*\)+.*/\1/' |
            grep -v '^\(nvidia\|cuda\|triton\)'
    } >"$here/python$version.txt"
    echo "python$version: $(grep -c == "$here/python$version.txt") packages."
done
