"""The English and Latin words for an eye, and the words of clinics that are found beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Mapping

R, L = Eye.RIGHT, Eye.LEFT


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# words and codes that mean an eye in English or Latin
WORDS: Mapping[str, Eye] = {"RIGHT": R, "LEFT": L}
CODES: Mapping[str, Eye] = {"OD": R, "OS": L}
# other abbreviations, which never name an eye; after a number, they contradict one
ABBREVIATIONS: Mapping[str, Eye] = {
    "RT": R, "RGT": R, "REYE": R, "DEX": R, "LT": L, "LFT": L, "LEYE": L,
}  # fmt: skip
LATIN: Mapping[str, Eye] = {"DEXTER": R, "SINISTER": L}
LETTERS: Mapping[str, Eye] = {"R": R, "RE": R, "L": L, "LE": L}
# olho esquerdo, ojo izquierdo, oeil gauche; the right eye is OD in these languages, too. But Oe, Oi
# and Og are also surnames, and og is a word
ROMANCE: Mapping[str, Eye] = {"OE": L, "OI": L, "OG": L}
BOTH = frozenset({"OU", "BOTH", "ODOS", "OSOD", "OIOD", "ODOI", "OEOD", "ODOE", "OGOD", "ODOG"})

# Words of cameras and clinics. They do not count as surnames. Compare with `fold`.
NEUTRAL = _set(
    """
    again aufnahme baseline bild blur blurred blurry camera cataract center centered
    central centre centred cfp clinic color colour conflict control controle copy crop cropped
    dilated disc disk drusen dsc edema edit edited enhanced exam export exported exudate
    exudates eye field final foto fotografia fovea frame fu fundus glaucoma haze hemorrhage
    im image imagem imagen img immagine inferior kontrolle laser lesion lower mac macula macular
    makula merge mosaic mydriatic nachkontrolle nasal nerve netzhaut new no nr number oct
    oedema old onh optic optos original overexposed panorama papila papilla
    papille patient periphery photo photograph pic pict picture pole polo posterior postop preop
    pupil quality raw redo repeat repeated rescan ret retake retina retinografia retinographie
    scan sclera screening series session shot snapshot stitched study subject superior temporal
    test undilated upper uwf vein veins vessel vessels visit wdh wide widefield wiederholung
    zoom
    """
)
ANATOMY = _set(
    """
    disc disk eye fovea fundus mac macula macular makula nerve onh optic papilla papille pole
    posterior retina
    """
)
# prefixes of image numbers: the R of IMG_0001R is an eye, that of P12R may be part of a number
IMAGES = _set("dsc foto fundus im image img photo pic pict picture ret retina scan")

# Beside or near one of these, "left" is a direction, a position in the picture, or one of two views
DIRECTIONS = _set(
    """
    3d abduction above adduction back below border bottom cardinal channel corner
    direction down downgaze duction eccentric edge extreme eyes fixating fixation flip flipped
    front gaze gazes gazing half inf inferior inferonasal inferotemporal inner lateral leftmost
    lid look looked looking looks lower margin medial mid middle mirror mirrored nasal
    orientation outer pair pairs parallax peripheral periphery pos position primary quad
    quadrant rear rightmost rotate rotated rotation sbs shift shifted steer stereo stereopair
    stereopairs stereoscopic sup superior superonasal superotemporal temp temporal tilt tilted
    top toward towards turn turned up upgaze upper version view
    """
)
# what has a position in the picture: "disc left" may say where the disc is
POSITIONED = _set(
    """
    blur center central centre crop cropped disc disk drusen edema exudate exudates haze hemorrhage
    laser lesion nerve oedema onh papila papilla papille pole pupil vein veins vessel vessels zoom
    """
)
PARTS = _set("center central centre crop cropped lesion vein veins vessel vessels")
# kinds of pictures, which may follow a code: 12_OD_FA
MODALITIES = _set("af fa faf ffa ga icg icga ir oct octa rf rg slo")
# a folder of these names makes LEFT and RIGHT in the names of its files doubtful
DIRECTIONS_OF_FOLDERS = _set(
    "fixation gaze gazes gazing looking mirrored peripheral quadrant quadrants stereo"
)
# Directly beside one of these, "left" is a thing or a part of one: the left room, left of the disc
THINGS = _set(
    """
    aligned arm arrow barrel bay bed bench booth box breast cabin cabinet cam camera chair cheek
    clinic computer corridor desk device door drawer ear eyelid field floor foot frame from gate
    hall hand head knee lane leg lens light lot machine monitor of office page panel pc port
    position room row scanner screen seat section sensor shelf side site size slot station table
    the to tower tray tube unit wall ward window wing workstation
    """
)
# "nothing left", "all right": before these words, left and right are not eyes but English
PHRASES = _set(
    """
    after all any anybody anyone anything are at be been before bit broken by copy day days
    everybody everyone everything far few file files had has have he hours in is it just less
    little many minutes more most much no nobody none not nothing now on one only out patient
    pictures pt she somebody someone something space still subject that they time was we weeks
    were what who you
    """
)
# beside one of these anywhere in the name, an eye is not certain: "12_not_OD", "wrong eye"
DOUBTS = _set(
    """
    confused doubtful error exchanged falsch incorrect incorrectly instead maybe mislabeled
    mislabelled mistake mistaken mistakenly nicht not perhaps possibly presumably probably
    questionable should swap swapped switched uncertain unclear unsure vertauscht verwechselt wrong
    wrongly
    """
)
