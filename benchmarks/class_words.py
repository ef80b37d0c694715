"""Draw dreams of ten words, and measure in how many places a classifier sees the word.

python benchmarks/class_words.py IMAGE [--lines 320] [--preset aviary] [--sheet words.jpg]

Printed for each word is the share of random square crops, of 224 and of 128 pixels, in whose five best classes the word
is. The crops are judged by the network that dreamed them, so the numbers compare settings with each other; whether a
person sees the word, the sheet tells.
"""

import argparse

import cv2
import numpy as np
import torch

from dreamvid import dream_image, load_settings, read_frame
from dreamvid.dream.objectives.terms.class_ import class_index
from dreamvid.image.io import write_image
from dreamvid.networks.network import Network, load_network, share_networks

WORDS = (
    "peacock", "goldfish", "castle", "banana", "flamingo", "strawberry", "monarch", "macaw", "volcano", "jellyfish",
)  # fmt: skip
SIDES = (224, 128)
SEEN = 224
COLUMNS = 5


@torch.no_grad()
def shares(network: Network, image: np.ndarray, index: int, crops: int) -> list[float]:
    """Measure for each side the share of crops of an image (H, W, 3) in whose five best classes `index` is."""
    classify = network.truncate([network.table.logits_layer or ""])
    random = np.random.default_rng(0)
    found = []
    for side in SIDES:
        corners = [[random.integers(0, length - side + 1) for length in image.shape[:2]] for _ in range(crops)]
        cut = [cv2.resize(image[y : y + side, x : x + side], (SEEN, SEEN)) for y, x in corners]
        batch = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255
        best = next(iter(classify(batch).values())).topk(5).indices
        found.append((best == index).any(1).float().mean().item())
    return found


def main() -> None:
    """Dream each word and print one line of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--lines", type=int, default=320)
    parser.add_argument("--preset", help="a preset whose objective is replaced; without it, the default settings")
    parser.add_argument("--crops", type=int, default=16)
    parser.add_argument("--sheet")
    args = parser.parse_args()
    frame: np.ndarray = read_frame(args.image)
    frame = frame[:, : frame.shape[0] * 4 // 3]
    frame = cv2.resize(frame, (args.lines * frame.shape[1] // frame.shape[0], args.lines), interpolation=cv2.INTER_AREA)
    drawn: list[np.ndarray] = []
    measured = []
    with share_networks():
        network = load_network()
        for word in WORDS:
            settings = load_settings(args.preset, objective=f"class:{word}", dream_height=args.lines)
            image = dream_image(frame, settings)
            measured.append(shares(network, image, class_index(word), args.crops))
            print(f"{word:12}", *(f"{share:6.0%}" for share in measured[-1]), flush=True)
            drawn.append(np.ascontiguousarray(cv2.resize(image, (288, 216), interpolation=cv2.INTER_AREA)))
            if args.sheet:
                for thickness, color in ((3, (0, 0, 0)), (1, (255, 255, 255))):
                    cv2.putText(drawn[-1], word, (8, 18), 0, 0.5, color, thickness, cv2.LINE_AA)
                blank = [np.zeros_like(drawn[0])] * (-len(drawn) % COLUMNS)
                tiles = [*drawn, *blank]
                rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
                write_image(args.sheet, np.vstack(rows))
    print(f"{'mean':12}", *(f"{share:6.0%}" for share in np.mean(measured, axis=0)))


if __name__ == "__main__":
    main()
