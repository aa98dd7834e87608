#!/bin/sh
# Leaves out of a site-packages directory what a sensor never runs: tests, headers, stubs, build tools of onnxruntime and numpy.
# Usage: prune-environment.sh SITE_PACKAGES
set -eu
cd "$1"
rm -rf bin include share
rm -rf onnxruntime/transformers onnxruntime/tools onnxruntime/quantization onnxruntime/datasets
rm -rf numpy/f2py numpy/distutils numpy/_core/include numpy/_core/lib
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -type d -name __pycache__ -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.c' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.a' -o -name .DS_Store \) -delete
