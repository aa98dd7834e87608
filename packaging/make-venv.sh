#!/bin/sh
# Creates a virtual environment, also where Debian's python3-venv (which holds ensurepip) is missing.
# Usage: make-venv.sh PYTHON DIRECTORY
set -eu
python=$1
directory=$2
[ -x "$directory/bin/pip" ] && exit 0
if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv "$directory"
else
    "$python" -m venv --without-pip --clear "$directory"
    "$python" -m pip --quiet --python "$directory/bin/python" install pip
fi
