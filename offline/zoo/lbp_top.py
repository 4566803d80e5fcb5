"""LBP-TOP and a linear SVM, the data sets' and MEGC 2019's baseline: `offline.inputs.lbp_top` has the features."""

from __future__ import annotations

from offline.inputs import lbp_top
from offline.training.linear_svm import LinearSvm, SvmRecipe
from offline.training.protocol import Entry

MODEL = Entry(
    name="lbp-top",
    source="Zhao and Pietikäinen 2007",
    published="LBP-TOP",
    input=lbp_top.INPUT,
    trainer=LinearSvm(lbp_top.INPUT.shape[0]),
    recipe=SvmRecipe(),
    settled="Blocks and radii are those of CASME II's baseline; cost 1 and full class weights were written down before "
    "any result and not changed.",
)
