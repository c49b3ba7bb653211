"""The launcher of smartcore for processes of this host."""
