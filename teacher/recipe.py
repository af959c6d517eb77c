"""Settings of the teacher, validated: unknown keys and impossible values are refused by name."""

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from training.dropout import DROPOUT_EPOCHS

NONE = "none"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SequenceRecipe(Strict):
    dimensions: PositiveInt = 128
    layers: PositiveInt = 2
    heads: PositiveInt = Field(2, validate_default=True)
    dropout: float = Field(0.5, ge=0, lt=1)
    """Where items are chosen seldom, as all dropout; see ``training.dropout.dropout_share``."""
    dropout_epochs: int = Field(0, ge=0)
    """Epochs that the time must be enough for, or nothing is dropped; where items are chosen often at least
    ``training.dropout.DROPOUT_EPOCHS``."""
    projection_dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout on the item vectors before their projection."""
    temperature: PositiveFloat = 15.0
    """Start of the learned temperature that multiplies cosine logits."""
    id_embedding: bool = True
    """Add a learned ID residual to the projected text vector; pre-training never does."""
    id_rates: tuple[PositiveFloat, ...] = Field((1.0, 10.0), min_length=1)
    """How many times as fast as the rest the ID residual learns, chosen on validation: slow ones leave more to the
    texts, which is better where interactions are few. Where items are chosen often the highest is taken untried."""
    longest: int = Field(32, ge=2)
    """Most history items read; shorter where the data set's histories are."""
    learning_rate: PositiveFloat = 2e-3
    weight_decay: float = Field(0.05, ge=0)
    batch: PositiveInt = 128
    """Windows a step."""
    batch_places: PositiveInt = 1024
    """Most places to predict a step: long histories make smaller batches."""
    negatives: PositiveInt = 1024
    """Sampled negatives where the catalogue holds more than twice as many items."""
    exact_windows: bool = False
    """Beside these compare each item with all of a step's windows, see ``training.next_item.compare``; where items are
    chosen often it is done anyway."""
    epochs: PositiveInt = 60
    evaluate_every: PositiveInt = 2
    patience: PositiveInt = 8
    """Epochs without a better validation NDCG@10 before training starts over on a schedule of the length that the best
    ones took, or stops where it has."""
    validation_users: PositiveInt = 2000
    refit_epochs: PositiveFloat = 0.5
    """Part of the best epochs that the final model takes, which goes on from the held-out one with every interaction."""
    refit_rate: PositiveFloat = 0.3
    """Its part of the learning rate."""

    @field_validator("heads")
    @classmethod
    def _divide_dimensions(cls, heads: int, others: ValidationInfo) -> int:
        dimensions = others.data.get("dimensions", heads)
        if dimensions % heads:
            raise ValueError(f"expected a divisor of dimensions = {dimensions}")
        return heads

    def for_share(self, share: float) -> "SequenceRecipe":
        """The same with ``share`` of its dropout; where that is not all of it, windows are compared exactly, IDs learn at
        the highest rate alone, and a few epochs drop nothing."""
        dense = share < 1
        return self.model_copy(
            update={
                "dropout": share * self.dropout,
                "projection_dropout": share * self.projection_dropout,
                "dropout_epochs": max(self.dropout_epochs, DROPOUT_EPOCHS if dense else 0),
                "exact_windows": self.exact_windows or dense,
                "id_rates": (max(self.id_rates),) if dense else self.id_rates,
            }
        )

    @property
    def tried_rates(self) -> tuple[float, ...]:
        """``id_rates`` where there are IDs to learn: without any, all rates are the same."""
        return self.id_rates if self.id_embedding else (1.0,)


class PretrainingRecipe(Strict):
    """Of the sequence model that learns from all source domains."""

    steps: PositiveInt = 20_000
    domains: PositiveInt = 4
    """Domains a step; its places and negatives are shared among them."""
    contrast: float = Field(0.1, ge=0)
    """Weight of the contrast between halves of a history."""
    items: PositiveInt = 10_000
    """Most items of a domain, the most chosen ones."""
    max_tokens: int = Field(48, ge=16)
    dimensions: PositiveInt = 256
    """Directions of a domain's item vectors that are kept, as in ``TeacherRecipe``."""
    whitening: float = Field(0.25, ge=0, le=0.5)
    sequence: SequenceRecipe = SequenceRecipe(
        dropout=0.2, batch=256, batch_places=2048, negatives=2048
    )


class TeacherRecipe(Strict):
    backbone: str = "smollm2"
    """The language model: "smollm2", a folder in Hugging Face format, or a hub id."""
    layer: PositiveInt | None = None
    """Hidden layer to pool; the family's default when not given."""
    sentence_encoder: str = "minilm"
    """Read beside the language model, used where that helps: "minilm", a folder, a hub id, or "none"."""
    max_tokens: PositiveInt = 96
    dimensions: PositiveInt = 256
    """Dimensions of the whitened item vectors."""
    whitening: float = Field(0.25, ge=0, le=0.5)
    """Power of the eigenvalues: .25 half-whitens, .5 whitens fully."""
    factors: int = Field(64, ge=0)
    """Numbers about each item that come from who chose it (`teacher.factors`), beside its text in the sequence models of
    teacher and student; 0 for texts alone."""
    knn_neighbours: tuple[PositiveFloat, ...] = (50, 100, 200, 1000)
    knn_shrinks: tuple[float, ...] = (0, 10, 50, 100)
    ridges: tuple[PositiveFloat, ...] = (20.0, 50.0, 100.0, 200.0, 400.0, 800.0)
    text_weights: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0)
    """Weight of the item-text similarity in the Gram matrix of EASE."""
    orders: tuple[float, ...] = (0.0, 0.5, 1.0)
    """Share of order-aware evidence in EASE with text: 0 reads histories as sets, 1 only what came after what."""
    decays: tuple[float, ...] = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
    exact_items: PositiveInt = 16000
    """Most items that closed forms invert exactly; a larger catalogue gets the local form (`teacher.local`)."""
    local_width: PositiveInt = 200
    """Entries in a column of the item-item models beyond ``exact_items``."""
    tune_items: PositiveInt = 4000
    """Item-item settings are chosen on this many of the most chosen items."""
    tune_users: PositiveInt = 3000
    fusion_users: PositiveInt = 10_000
    """Most validation users on whom scorers are fused: the fewer, the more a weight is chosen by chance."""
    neighbours: PositiveInt = 200
    """Entries in the neighbour table that is handed to the student, on average over the items."""
    table_entries: PositiveInt = 700_000
    """Entries in it where those are fewer: few items need more of each."""
    base: str = "auto"
    """Folder of a base teacher to transfer from (an ``adapter``, a ``base.safetensors``, or both, as ``pocketrec adapt``
    and ``pocketrec pretrain`` write them); "none"; or "auto", the released one where it is of this language model."""
    sequence: SequenceRecipe = SequenceRecipe()
