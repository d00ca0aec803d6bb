"""python -m rlscratch.report.widgets NAME: print one figure."""
import sys

from rlscratch.report import widgets

print(widgets.fragment(sys.argv[1]))
