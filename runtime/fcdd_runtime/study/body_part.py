"""BodyPartExamined: a term of DICOM, or whatever somebody typed."""

from fcdd_runtime.redaction import quoted

_DEFINED = (
    "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST CALF CAROTID CERVIX CHEST "
    "CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX COLON CSPINE EAR ELBOW ESOPHAGUS EXTREMITY EYE FACE FEMUR FINGER "
    "FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS IAC JAW KIDNEY KNEE LARYNX LEG LIVER LSPINE "
    "LSSPINE LUNG MEDIASTINUM NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PAROTID "
    "PATELLA PELVIS PENIS PHARYNX PROSTATE RECTUM RIB SCALP SCAPULA SCROTUM SHOULDER SKULL SPINE SPLEEN SSPINE "
    "STERNUM STOMACH TESTIS THIGH THORAX THUMB THYMUS THYROID TLSPINE TMJOINT TOE TONGUE TRACHEA TSPINE URETER "
    "UTERUS VAGINA VULVA WHOLEBODY WRIST"
)
"""Terms of PS3.16 Annex L, which name a body part and nobody; one that is not listed here is treated as free text."""
_TERMS = frozenset(_DEFINED.split())


def body_part_for_messages(value: str) -> str:
    """Return BodyPartExamined in upper case: a term as it is, any other text in quotes, nothing as nothing."""
    text = value.strip().upper()
    return text if text in _TERMS or not text else quoted(text)
