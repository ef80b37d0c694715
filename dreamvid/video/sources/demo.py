"""Two seconds of a landscape at dusk as a source, made by ffmpeg, so that nothing is needed to begin: `demo`.

Clouds drift to the left above three ridges that pass to the right, the nearer the faster. So a dream on it has to stay
with things that move apart, hide one another and come into view. All of it is noise with fixed seeds, and sines.
"""

from pathlib import Path

from dreamvid.video.ffmpeg import require_feature
from dreamvid.video.source import SourceOptions
from dreamvid.video.sources.lavfi import GraphSource

_WIDTH, _HEIGHT, _RATE, DEMO_FRAMES = 480, 360, 24, 48


def demo_graph() -> str:
    """Write the video's filter graph (ffmpeg, `-f lavfi`)."""
    layers = [
        f"{_sky()}[sky]",
        f"{_clouds()}[clouds]",
        f"{_ridge(3, (112, 116, 158), crest=190, rise=16, waves=(70, 31), speed=1)}[far]",
        f"{_ridge(5, (70, 100, 62), crest=228, rise=18, waves=(95, 40), speed=2)}[middle]",
        f"{_ridge(9, (86, 104, 36), crest=290, rise=20, waves=(140, 52), speed=4)}[near]",
    ]
    over = "overlay=format=gbrp"
    joined = f"[sky][clouds]{over}[a];[a][far]{over}[b];[b][middle]{over}[c];[c][near]{over}"
    return ";".join([*layers, f"{joined},format=gbrp,trim=end_frame={DEMO_FRAMES}"])


def _sky() -> str:
    colors = "n=4:c0=0x24407c:c1=0x7d86b0:c2=0xf2b48c:c3=0xffd9a0"
    return f"gradients=size={_WIDTH}x{_HEIGHT}:rate={_RATE}:{colors}:x0=0:y0=0:x1=0:y1=230:speed=0.00001,format=gbrp"


def _clouds() -> str:
    """Make noise that is wider than high; where it is dark, the sky shows through."""
    colors = "lutrgb=r='clip(150+val/1.6,0,255)':g='clip(95+val/1.5,0,255)':b='clip(110+val/2.2,0,255)'"
    noise = _noise(11, _WIDTH + DEMO_FRAMES, "octaves=6:persistence=0.55:xscale=3:yscale=7:tscale=0.15")
    return (
        f"{noise},crop={_WIDTH}:{_HEIGHT}:x=n:y=0,format=gray,split[dark][light];"
        f"[light]format=gbrp,{colors}[lit];[dark]lut=y='clip(3.2*val-330,0,225)'[dense];[lit][dense]alphamerge"
    )


def _ridge(seed: int, color: tuple[int, int, int], *, crest: int, rise: int, waves: tuple[int, int], speed: int) -> str:
    """Make one still image of a grown slope below a crest of sines, which passes by.

    color: 8-bit RGB. crest, rise, waves: pixels. speed: pixels a frame.
    """
    distance = speed * DEMO_FRAMES
    noise = _noise(seed, _WIDTH + distance, "octaves=7:persistence=0.75:xscale=6:yscale=6")
    tint = ":".join(
        f"{name}='clip({value}*(0.35+1.3*val/255),0,255)'" for name, value in zip("rgb", color, strict=True)
    )
    line = (
        f"{crest}+{rise}*sin((W-X)/{waves[0]}+{seed})+{rise / 2}*sin(X/{waves[1]})"
        f"+{rise / 7:.3f}*sin(X/7.3)+1.8*sin(X/3.1+sin(X/11))"
    )
    return (
        f"{noise},trim=end_frame=1,format=gray,split[slope{seed}][plane{seed}];"
        f"[slope{seed}]format=gbrp,lutrgb={tint}[grown{seed}];"
        f"[plane{seed}]geq=lum='255*clip(Y-({line}),0,1)'[below{seed}];"
        f"[grown{seed}][below{seed}]alphamerge,loop=loop=-1:size=1,setpts=N/{_RATE}/TB,"
        f"crop={_WIDTH}:{_HEIGHT}:x={distance}-{speed}*n:y=0"
    )


def _noise(seed: int, width: int, shape: str) -> str:
    return f"perlin=size={width}x{_HEIGHT}:rate={_RATE}:{shape}:random_mode=seed:random_seed={seed}"


class _Demo:
    form = "demo"

    def claims(self, text: str) -> bool:
        return text == "demo" and not Path(text).exists()

    def open(self, text: str, options: SourceOptions) -> GraphSource:
        require_feature("filter", "perlin", "the source `demo`")
        return GraphSource(text=text, graph=demo_graph(), stream=options.stream)


PLUGIN = _Demo()
