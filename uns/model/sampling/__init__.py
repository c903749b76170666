"""PURE: acceptance sampling by attributes after ISO 2859-1 and ANSI/ASQ Z1.4, single plans.

tables.py has what the standards print, plans.py finds a lot's plan, switching.py decides which
severity the next lot is inspected with, oc.py how likely a plan accepts. None of them knows lines.
"""
