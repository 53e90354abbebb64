"""Three epochs as CSVLogger of Keras 3.15 wrote them, and by hand two without validation, which it writes as NA."""

from pathlib import Path

WRITTEN = (
    b"epoch,loss,mae,val_loss,val_mae\r\n"
    b"0,4.928363800048828,1.9123618602752686,6.207269668579102,2.1027796268463135\r\n"
    b"1,4.9008684158325195,1.9062001705169678,6.182857990264893,2.097982406616211\r\n"
    b"2,4.881000995635986,1.9017363786697388,6.162474155426025,2.0939688682556152\r\n"
    b"3,4.513443470001221,1.7959853887557983,NA,NA\r\n"
    b"4,4.495750427246094,1.792293119430542,NA,NA\r\n"
)


def sample(folder: Path) -> Path:
    (folder / "training.csv").write_bytes(WRITTEN)
    return folder / "training.csv"
