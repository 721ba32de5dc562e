"""The models of everything that is read or written: one module a file of the repository."""
