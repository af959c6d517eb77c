"""Settings of the export, validated: unknown keys and impossible values are refused by name."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Target = Literal["avx2", "avx512_vnni", "arm64"]


class ExportRecipe(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    target: Target = "avx2"
    """The processors that the int8 graphs are made for. They run on any: avx2 has weights as uint8, the others as int8,
    which is faster where there are instructions for it and adds past the end of int16 on older x86."""
    embedding_bits: Literal[8, 4] = 8
    """Of the text encoder's word pieces, most of its bytes; four where that passes the gate, else eight."""
