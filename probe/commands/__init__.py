"""The commands of ``probe``, one file each, imported only when they are used."""
