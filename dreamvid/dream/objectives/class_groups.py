"""Groups of ImageNet classes by a word: `dog` is 118 breeds. Made for dreamvid from the names of the classes.

The thousand classes are numbered along WordNet's tree where they are animals, so most groups of animals are ranges.
"""

from collections.abc import Iterator

_GROUPS = {
    "animal": "0-397",
    "fish": "0-6,389-397",
    "shark": "2-4",
    "ray": "5,6",
    "bird": "7-24,80-100,127-146",
    "songbird": "10-20",
    "bird of prey": "21-24",
    "owl": "24",
    "parrot": "87-90",
    "water bird": "97-100,127-137,139-146",
    "stork": "127,128",
    "heron": "131-133",
    "amphibians": "25-32",
    "salamander": "25-29",
    "frog": "30-32",
    "reptile": "33-68",
    "turtle": "33-37",
    "lizard": "38-48",
    "crocodile": "49,50",
    "dinosaur": "51",
    "snake": "52-68",
    "spider": "72-77",
    "arachnid": "70-78",
    "marsupial": "104-106",
    "sea animal": "2-6,107-111,115-126,147-150,327-329,389-397",
    "mollusk": "112-117",
    "crab": "118-121,125",
    "lobster": "122-124",
    "crustacean": "118-126",
    "whale": "147,148",
    "mammal": "101-106,147-299,330-388",
    "dog": "151-268",
    "hound": "159-178",
    "terrier": "179-204",
    "spaniel": "152,156,215,217-221",
    "retriever": "205-209",
    "setter": "212-214",
    "sheepdog": "227-235",
    "husky": "248-250",
    "poodle": "265-267",
    "wild dog": "273-275",
    "wolf": "269-272",
    "fox": "277-280",
    "cat": "281-285",
    "big cat": "286-293",
    "feline": "281-293",
    "bear": "294-297",
    "insect": "300-326",
    "beetle": "300-307",
    "butterfly": "321-326",
    "rabbit": "330-332",
    "rodent": "333-338",
    "horse": "339,340",
    "pig": "341-343",
    "cattle": "345-347",
    "sheep": "348,349",
    "antelope": "351-353",
    "camel": "354,355",
    "weasels": "356-362",
    "ape": "365-369",
    "monkey": "370-382",
    "primate": "365-384",
    "elephant": "101,385,386",
    "panda": "387,388",
    "plant": "984-998",
    "flower": "984-986",
    "mushrooms": "947,991-997",
    "fungus": "947,991-997",
    "fruit": "948-957",
    "vegetable": "936-946",
    "food": "924-969",
    "bread": "930-932",
    "dessert": "927-929,960",
    "drink": "966,967,969",
    "landscape": "970-980",
    "mountain": "970,972,979,980",
    "coast": "973,975-978",
    "person": "981-983",
    "vehicle": "403-405,407,408,436,444,466,468,472,484,510,511,547,554,555,565,569,573,575,576,603,609,612,625,627,"
    "628,654,656,661,665,670,671,675,690,705,717,734,751,757,779,780,802,803,812,814,817,820,829,833,847,864,866,867,870,"
    "871,874,880,895,914",
    "car": "407,436,468,511,609,627,656,661,717,734,751,817",
    "truck": "555,569,675,717,864,867",
    "bus": "654,779,874",
    "train": "466,547,565,705,820,829",
    "ship": "403,510,628,724,780,833,913",
    "boat": "472,484,554,576,625,814,871,914",
    "aircraft": "404,405,417,895",
    "bicycle": "444,671,870,880",
    "motorcycle": "665,670",
    "building": "410,415,424,425,449,454,467,483,497,498,500,509,580,582,624,634,660,663,668,698,727,743,762,788,832,"
    "860,865,900,915",
    "temple": "497,663,668,832",
    "shop": "415,424,454,467,509,582,788,860,865",
    "bridge": "821,839,888",
    "tower": "437,442,557,863,900",
    "monument": "649,682,863,873",
    "fence": "489,716,912",
    "instrument": "401,402,420,432,486,494,513,541,546,558,566,577,579,593,594,641,642,683,684,687,699,776,822,875,881,"
    "889",
    "string instrument": "402,420,486,546,594,889",
    "wind instrument": "432,513,558,566,593,683,684,699,776,875",
    "drums": "541,822",
    "furniture": "423,453,493,495,516,520,526,532,548,559,564,703,736,765,831,846,857,894",
    "chair": "423,559,765,857",
    "clock": "409,530,531,604,826,835,892",
    "lamp": "470,607,619,818,846,862",
    "vessel": "438,440,441,463,469,504,505,572,647,653,659,720,725,737,738,809,849,883,898,899,901,907,968",
    "bottle": "440,720,737,898,907",
    "hat": "433,439,452,515,518,560,715,793,808",
    "shoe": "502,514,630,770,774",
    "clothing": "399,400,411,443,445,457,459,474,501,568,578,601,608,610,614,617,638,639,652,655,658,689,697,735,775,"
    "806,824,834,841,842,869,887,906",
    "weapon": "413,456,471,657,744,763,764",
    "tool": "462,473,477,512,587,596,606,618,623,696,714,730,740,784,792,813",
    "ball": "429,430,522,574,722,768,805,852,890",
    "computer": "508,527,590,592,620,664,673,810,878",
    "machine": "480,571,586,595,621,707,739,786,856,882,886,897",
    "camera": "732,759",
    "textile": "434,533,539,741,750,794,854,885,911",
}


def group_names() -> tuple[str, ...]:
    """List the words."""
    return tuple(_GROUPS)


def group(word: str) -> tuple[int, ...] | None:
    """List the classes of a word, singular or plural; None for a word that stands for no group."""
    for name in (word, word.removesuffix("s"), word.removesuffix("es")):
        if name in _GROUPS:
            return tuple(_numbers(_GROUPS[name]))
    return None


def _numbers(ranges: str) -> Iterator[int]:
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
