"""Loads every file that is named with torch.load, one after the other, and prints the sum of each."""

import sys

import torch

for path in sys.argv[1:]:
    print(float(torch.load(path).double().sum()))
