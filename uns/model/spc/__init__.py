"""PURE: statistical process control: control charts, their rules, and capability.

Formulas after ISO 7870-2 (Shewhart charts), ISO 7870-4 (CUSUM), ISO 7870-6 (EWMA) and ISO 22514-2
(capability). Owns arithmetic alone: knows no plant, no event, and not where a value comes from.
"""
