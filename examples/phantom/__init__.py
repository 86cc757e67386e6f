"""Drawn bilateral breast DCE studies with known lesions, and the small FCDD network trained on them."""

from phantom.draw import Phantom, draw_phantom
from phantom.lesions import Lesion

__all__ = ["Lesion", "Phantom", "draw_phantom"]
