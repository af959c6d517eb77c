"""Settings of the student, validated: unknown keys and impossible values are refused by name."""

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from training.dropout import DROPOUT_EPOCHS

AUTO, NONE = "auto", "none"


class StudentRecipe(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = Field(2, validate_default=True)
    dropout: float = Field(0.2, ge=0, lt=1)
    """Where items are chosen seldom, as all dropout; see ``training.dropout.dropout_share``."""
    dropout_epochs: int = Field(0, ge=0)
    """Epochs that the time must be enough for, or nothing is dropped; where items are chosen often at least
    ``training.dropout.DROPOUT_EPOCHS``."""
    item_dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout on the vectors that the item space is projected from."""
    id_rate: PositiveFloat | None = None
    """How many times as fast as the rest the ID residual learns; as in the teacher when not given."""
    temperature: PositiveFloat = 15.0
    """Start of the learned temperature that multiplies cosine logits."""
    cross_entropy: float = Field(0.5, ge=0)
    """Weight of the item that was chosen in the loss of the next item, beside ``logit_distillation``, that of the teacher's
    logits (``training.next_item``); the other three bring nothing on top (docs/transfer.md)."""
    logit_distillation: float = Field(0.5, ge=0)
    ranking_distillation: float = Field(0.0, ge=0)
    embedding_distillation: float = Field(0.0, ge=0)
    relation_distillation: float = Field(0.0, ge=0)
    distillation_temperature: PositiveFloat = 1.0
    """Divides the teacher's logits before their softmax."""
    ranked_items: PositiveInt = 10
    """Items of the teacher's list that ranking distillation looks at."""
    compared_items: PositiveInt = 512
    """Items a step that embedding and relation distillation compare."""
    learning_rate: PositiveFloat = 2e-3
    weight_decay: float = Field(0.05, ge=0)
    batch: PositiveInt = 128
    """Windows a step."""
    batch_places: PositiveInt = 1024
    """Most places to predict a step: long histories make smaller batches."""
    negatives: PositiveInt = 1024
    """Sampled items in the loss where the catalogue holds more than twice as many."""
    exact_windows: bool = False
    """As in the teacher: compare each item with all of a step's windows, too."""
    epochs: PositiveInt = 30
    evaluate_every: PositiveInt = 2
    patience: PositiveInt = 10
    """As in the teacher: epochs without a better validation NDCG@10 before training starts over, once."""
    validation_users: PositiveInt = 2000
    neighbours: tuple[PositiveInt, ...] = (20, 50, 100, 200, 400, 800)
    """Entries an item in the neighbour table, on average; validation chooses among them."""
    table_entries: PositiveInt = 700_000
    """Most entries in all where that leaves the smallest choice; an entry takes three bytes, in a catalogue
    of more than 65,536 items five."""
    table_gain: float = Field(0.03, ge=0)
    """Share of validation NDCG@10 that a million entries more must gain to be worth their bytes."""
    vocabulary: PositiveInt = 8192
    """Word pieces of the catalogue's own; those of the base text encoder that it lacks come on top."""
    tokens: PositiveInt = 64
    """Word pieces read of an item text."""
    text_epochs: PositiveInt = 40
    text_base: str = AUTO
    """Base text encoder to start from: a folder that ``pocketrec pretrain-text`` wrote, "auto" for the released one, or
    "none"."""

    def for_share(self, share: float) -> "StudentRecipe":
        """The same with ``share`` of its dropout; where that is not all of it, windows are compared exactly and a few epochs
        drop nothing."""
        dense = share < 1
        return self.model_copy(
            update={
                "dropout": share * self.dropout,
                "item_dropout": share * self.item_dropout,
                "dropout_epochs": max(self.dropout_epochs, DROPOUT_EPOCHS if dense else 0),
                "exact_windows": self.exact_windows or dense,
            }
        )

    @model_validator(mode="after")
    def _learns_from_something(self) -> "StudentRecipe":
        weights = (
            self.cross_entropy,
            self.logit_distillation,
            self.ranking_distillation,
            self.embedding_distillation,
            self.relation_distillation,
        )
        if not any(weights):
            raise ValueError("expected a weight above 0 for cross_entropy or a distillation")
        return self

    @field_validator("heads")
    @classmethod
    def _divide_dimensions(cls, heads: int, others: ValidationInfo) -> int:
        dimensions = others.data.get("dimensions", heads)
        if dimensions % heads:
            raise ValueError(f"expected a divisor of dimensions = {dimensions}")
        return heads
