"""`dreamvid layers`: the counts of the network of the first dreams."""

from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]


def test_the_2015_network_has_59_convolutions_with_7548_channels(dreamvid: Run) -> None:
    done = dreamvid("layers", "inception5h")
    assert done.code == 0
    rows = {line.split()[0]: line.split() for line in done.out.splitlines()}
    assert rows["mixed4d_3x3_bottleneck_pre_relu"][1:3] == ["144", "16"]
    assert rows["mixed4c"][1] == "512"
    convolutions = [int(row[1]) for row in rows.values() if row[-1] in ("Conv2d", "Conv2dSame")]
    assert (len(convolutions), sum(convolutions)) == (59, 7548)
    assert done.out.splitlines()[-1] == "59 convolution layers with 7,548 channels in all"


def test_its_file_is_asked_for_where_it_is_wrong(dreamvid: Run, tmp_path: Any) -> None:
    (tmp_path / "graph.pb").write_bytes(b"\x0a\x05abc")
    done = dreamvid("layers", "inception5h", "--weights", "graph.pb")
    assert done.code == 2
    assert "tensorflow_inception_graph.pb" in done.err
