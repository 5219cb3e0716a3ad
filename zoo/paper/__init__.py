"""The paper's tables, printed and counted."""
