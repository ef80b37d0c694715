"""Say where a render finds its workers."""

import re
from dataclasses import dataclass
from typing import Self

from dreamvid.errors import SettingsError

LOCAL = "local"
_ADDRESS = re.compile(r"auto|[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Choose a Ray cluster and the size of its workers.

    address: "local" for one that lives as long as the render, on this machine alone; "auto" for the one that runs here;
    or HOST:PORT. gpus_per_worker: share of a GPU, or number of them, where the cluster has any. cpus_per_worker: CPU
    cores of a worker, and threads of its network on a CPU.

    Raises SettingsError.
    """

    address: str = LOCAL
    gpus_per_worker: float = 1.0
    cpus_per_worker: float = 1.0

    def __post_init__(self) -> None:
        if self.address != LOCAL and not _ADDRESS.fullmatch(self.address):
            raise SettingsError(
                f"`ray` got {self.address!r}: allowed is local, auto (the cluster that runs on this machine) or "
                "HOST:PORT, such as 10.0.0.5:6379. Behind --ray a word is the address: give sources before it."
            )
        for name in ("gpus_per_worker", "cpus_per_worker"):
            value = getattr(self, name)
            if not 0 < value <= 1024 or (value > 1 and value != int(value)):
                raise SettingsError(
                    f"`{name}` must be a share above 0, or a whole number from 1 to 1024, got {value:g}. Give for "
                    "example 0.5."
                )

    @classmethod
    def from_choice(cls, given: "RayOptions | str | bool") -> Self | "RayOptions":
        """Take the options, an address, or True for a local cluster."""
        if isinstance(given, RayOptions):
            return given
        return cls(address=LOCAL if given is True or given is False else str(given))
