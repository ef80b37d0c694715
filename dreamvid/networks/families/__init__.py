"""Families of networks, one file each: `PLUGIN` is a `NetworkFamily`, the module's name is the family's."""
