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
BOTH = frozenset({
    "OU", "BOTH", "ODOS", "OSOD", "OIOD", "ODOI", "OEOD", "ODOE", "OGOD", "ODOG", "BILAT",
    "BILATERAL", "BILATERALLY", "BINOCULAR", "BINO", "BDS", "BEO",
})  # fmt: skip
BOTH_IN_CAPITALS = frozenset({"BE", "B"})  # both eyes; "be" is a word

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
    aligned arm arrow barrel bay bed bench bett booth box breast bus cabin cabinet cam camera camp
    chair cheek clinic computer corridor desk device door drawer ear eyelid field floor foot frame
    from gate hall hand head kabine kiosk knee lane leg lens light lot machine monitor of office
    page panel pc port position rack raum room row sala salle scanner screen seat section sensor
    shelf side site size slot station suite table the theater theatre to tower tray tube unit wall
    ward window wing workstation zimmer
    """
)
# "nothing left", "all right": before these words, left and right are not eyes but English
PHRASES = _set(
    """
    after all any anybody anyone anything are at be been before bit broken by copy day days
    everybody everyone everything far few file files had has have he hours in is it just less
    little many minutes more most much no nobody none not nothing now on one only out patient
    pictures pt she somebody someone something space still subject that they time was we weeks
    thats whats
    were what who you
    """
)
# before a surname: "Mr Right" is a person
TITLES = _set(
    """
    dame doctor dr dra dott father frau fru general hr herr herrn lady lord madame major mc miss
    mister mlle mme monsieur mr mrs ms mx nurse o prof professor senhor senhora senor senora sig
    sir sister sr sra st
    """
)
# behind OS: the version of an operating system
SYSTEMS = _set("android build linux patch release update upgrade version windows")
# what identifies a patient when a number follows
PATIENTS = _set(
    """
    case fall hn id mr mrn nr p pac paciente pat patient pid pt pz record sn sub subj subject uhid
    uid
    """
)
# what is numbered, but is neither a patient nor a photograph: its R may be a part of it
NUMBERED = _set(
    """
    batch charge class cohort day dioptre diopter exam exposure field flash floor folder frame gain
    grade group grp gruppe iso jour kohorte level lot mark mois month phase reader rm round semaine
    series session set site stage step study tag take team time trial version village visit visita
    visite week woche year
    """
)
NUMBER_WORDS = _set("one two three four five six seven eight nine ten eleven twelve")
# codes of a field behind that of the eye: macula and disc
FIELD_CODES = _set("M D")
# behind OD or OS, a word in small letters that is none of these may be a name
REMARKS = _set(
    """
    after bad before blink bright clear close closed clouded dark day dim double dr early enhanced
    first flash fluorescein follow followup good green grey gray hd high image infrared injection
    last late left light low lens medico mono montage more mydriasis mydriatic nasal non normal
    npdr ok open original pdr poor post pre preview quality red redfree reflex right second sharp
    shadow single small standard strip study sub temporal third thumb under unsharp upload vitreous
    zoomed
    """
)
# beside one of these anywhere in the name, an eye is not certain: "12_not_OD", "wrong eye"
DOUBTS = _set(
    """
    ambiguous ask assume assumed check clarify confirm confirmed confused contralateral dont doubt
    doubtful either error exchanged fellow guess guessed incorrect incorrectly instead inverse
    inverted likely maybe mislabeled mislabelled mistake mistaken mistakenly mixed not opposite
    other perhaps possible possibly presumably presumed probable probably questionable reassign
    relabel relabeled relabelled should supposed supposedly swap swapped switched tbc tbd think
    uncertain unclear unconfirmed undecided unknown unsure unverified verify versus vs wrong wrongly
    falsch falsche falsches falscher kein keine moglicherweise nicht unbekannt unklar unsicher
    verkehrt vertauscht verwechselt vielleicht wahrscheinlich autre doute douteux erreur faux fausse
    inconnu incertain inverse inversee probable probablement peut etre cambiado desconocido dudoso
    equivocado error erroneo incorrecto otro quiza quizas talvez probablemente duvida errado incerto
    incorreto invertido outro provavel provavelmente trocado dubbio errato forse incognito incerto
    invertito probabilmente sbagliato scambiato altro andere fout misschien mogelijk omgewisseld
    onbekend onzeker twijfel verkeerd verwisseld kanske forvaxlad ukjent usikker maske forkert
    ukendt blad chyba moze nieznane zle mozna mozno mozda krivo pogresno napacno chybne spatne
    hatali yanlis belki lehet rossz ehka vaara gresit poate mungkin возможно наверно наверное может
    неверно неправильно ошибка неясно
    """
)
# doubt only beside an eye: "other/12_OD" holds other photographs, "12_OD_sin_flash" has no flash
NEGATIONS = _set(
    "non pas no without ohne sans sin sem senza zonder uden utan uten bez except ausser"
)
# a folder of these names says nothing of the eye
_NO_DOUBTS_OF_FOLDERS = _set(
    """
    altro andere autre check confirmed corrected correct either error errors no non not or
    other otro ou outro pas sai unknown unverified fel question blad
    """
)
DOUBTS_OF_FOLDERS = DOUBTS - _NO_DOUBTS_OF_FOLDERS
# doubt in scripts that are written without blanks
UNSPACED_DOUBTS = (
    "\u9519",
    "\u932f",
    "\u8bef",
    "\u8aa4",
    "\u4e0d\u660e",
    "\u4e0d\u786e\u5b9a",
    "\u9006",
)
