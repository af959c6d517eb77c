"""The text encoder of the student: a word-piece vocabulary and static embeddings in the item space."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tokenizers
import torch
from scipy import sparse
from tokenizers import models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

from distill.recipe import StudentRecipe
from distill.student import TextEncoder
from pocketrec.files import atomic_write
from pocketrec.tokenizer import Tokenizer, bucket

PADDING, UNKNOWN = "[PAD]", "[UNK]"
NORMALIZER = normalizers.BertNormalizer()
SPLITTER = pre_tokenizers.BertPreTokenizer()
LONGEST_WORD = 100
ALPHABET = 2000
"""Most different characters that get a piece of their own; the rest share the buckets."""
BUCKETS = 256
"""Most buckets; a small vocabulary has one for every 32 pieces."""
_CONTINUING = 0xF0000  # of the private planes: stands for a character that does not begin its word


def train_tokenizer(
    texts: list[str], vocabulary: int, path: Path, base: Sequence[str] = ()
) -> Tokenizer:
    """A lower-cased WordPiece vocabulary of about ``vocabulary`` pieces, saved as ``tokenizer.json``.

    With the pieces of a ``base`` vocabulary those of ``texts`` that it lacks come after them.

    The same texts give the same file. The library's own WordPiece trainer does not: it numbers the pieces that continue
    a word in the order of a random hash, and breaks ties by these numbers. So the pieces are merged as byte-pair
    encoding does (Sennrich et al. 2016, arXiv:1508.07909) over words whose continuing characters are other characters.
    """
    buckets = [bucket(number) for number in range(min(BUCKETS, vocabulary // 32))]
    special = [PADDING, UNKNOWN, *buckets]
    pieces = [*special, *_pieces(_words(texts), vocabulary - len(special))]
    pieces = list(dict.fromkeys([*base, *pieces]))
    made = tokenizers.Tokenizer(
        models.WordPiece(
            {piece: number for number, piece in enumerate(pieces)},
            unk_token=UNKNOWN,
            max_input_chars_per_word=LONGEST_WORD,
        )
    )
    made.normalizer, made.pre_tokenizer = NORMALIZER, SPLITTER
    made.add_special_tokens([PADDING, UNKNOWN])
    with atomic_write(path) as temporary:
        made.save(str(temporary), pretty=False)
    return Tokenizer.load(path)


def _words(texts: list[str]) -> Counter[str]:
    """How often each word stands in ``texts``, without words that are too long or have a rare character."""
    counts: Counter[str] = Counter()
    for text in texts:
        split = SPLITTER.pre_tokenize_str(NORMALIZER.normalize_str(text))
        counts.update(word for word, _ in split if len(word) <= LONGEST_WORD)
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    ranked = sorted(characters, key=lambda c: (-characters[c], c))
    rare = set(ranked[ALPHABET:])
    return Counter({word: n for word, n in counts.items() if rare.isdisjoint(word)})


def _pieces(words: Counter[str], count: int) -> list[str]:
    """About ``count`` pieces of ``words``, never fewer than their characters; "##" before those that continue."""
    alphabet = sorted(set("".join(words)))
    continuing = {character: chr(_CONTINUING + n) for n, character in enumerate(alphabet)}
    original = {other: character for character, other in continuing.items()}
    lines = (
        " ".join([word[0] + "".join(continuing[c] for c in word[1:])] * times)
        for word, times in sorted(words.items())
    )
    merged = tokenizers.Tokenizer(models.BPE())
    merged.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=max(count, 0), show_progress=False)
    merged.train_from_iterator(lines, trainer)
    found = merged.get_vocab()
    return [
        ("##" if piece[0] in original else "") + "".join(original.get(c, c) for c in piece)
        for piece in sorted(found, key=lambda piece: found[piece])
    ]


def tokenize(tokenizer: Tokenizer, texts: list[str], tokens: int) -> npt.NDArray[np.int64]:
    """Token ids cut to ``tokens`` and padded with 0; int64 [N, T]."""
    encoded = [tokenizer.encode(text, tokens) for text in texts]
    ids = np.zeros((len(encoded), max(1, *(len(e) for e in encoded))), dtype=np.int64)
    for row, tokens_of_item in enumerate(encoded):
        ids[row, : len(tokens_of_item)] = tokens_of_item
    return ids


def tfidf_vectors(
    tokens: npt.NDArray[np.int64], vocabulary: int, dimensions: int, seed: int
) -> npt.NDArray[np.float32]:
    """Latent semantic vectors of the texts (Deerwester et al. 1990): what is known without a language model.

    Args:
        tokens: int64 [N, T], 0 = padding.

    Returns:
        float32 [N, d] unit rows, d at most ``dimensions``.
    """
    rows = np.repeat(np.arange(len(tokens)), (tokens > 0).sum(axis=1))
    counts = sparse.csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, tokens[tokens > 0])),
        shape=(len(tokens), vocabulary),
    )
    counts.sum_duplicates()
    seen = np.bincount(counts.indices, minlength=vocabulary)
    weighted = counts @ sparse.diags(np.log((1 + len(tokens)) / (1 + seen)).astype(np.float32))
    torch.manual_seed(seed)
    entries = weighted.tocoo()
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack(entries.coords)),
        torch.from_numpy(entries.data),
        weighted.shape,
        check_invariants=True,
    )
    left, values, _ = torch.svd_lowrank(matrix, q=min(dimensions, *weighted.shape))
    vectors: Tensor = nn.functional.normalize(left * values.sqrt(), dim=-1)
    return vectors.numpy()


def train_text_encoder(
    encoder: TextEncoder,
    tokens: npt.NDArray[np.int64],
    target: npt.NDArray[np.float32],
    recipe: StudentRecipe,
    seed: int,
    seconds: float | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> float:
    """Teach ``encoder`` to put a text where the item space has its item; returns the cosine on held-out items.

    The loss is 1 - cosine (embedding distillation) plus an in-batch contrast, which keeps near items apart where a
    cosine alone would settle for the mean direction. Random token dropout stands for the texts it has not seen. A
    twentieth of the items is held out, and the weights that place those best are kept.

    Args:
        tokens: int64 [N, T], 0 = padding.
        target: float32 [N, d] unit rows, the part of the item space that text decides.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(tokens))
    held, taught = (
        np.split(order, [max(1, len(order) // 20)]) if len(order) > 40 else (order, order)
    )
    ids, goal = torch.from_numpy(tokens), torch.from_numpy(target)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=3e-3, weight_decay=0.01)
    steps = recipe.text_epochs * math.ceil(len(taught) / 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps + 1)
    started, best, best_state = time.monotonic(), -1.0, encoder.state_dict()
    for epoch in range(recipe.text_epochs):
        encoder.train()
        for rows in np.array_split(generator.permutation(taught), math.ceil(len(taught) / 256)):
            loss = text_loss(encoder, ids[rows], goal[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        encoder.eval()
        with torch.no_grad():
            cosine = float((encoder(ids[held]) * goal[held]).sum(dim=-1).mean())
        if cosine > best:
            best, best_state = cosine, {k: v.clone() for k, v in encoder.state_dict().items()}
        spent = time.monotonic() - started
        progress(max((epoch + 1) / recipe.text_epochs, spent / seconds if seconds else 0.0))
        if seconds is not None and spent > seconds:
            break
    encoder.load_state_dict(best_state)
    encoder.eval()
    return best


def text_loss(encoder: nn.Module, tokens: Tensor, goal: Tensor) -> Tensor:
    """1 - cosine, and a tenth of an in-batch contrast, over texts without a tenth of their tokens."""
    kept = tokens * (torch.rand(tokens.shape) > 0.1)
    found = encoder(kept)
    cosine = (found * goal).sum(dim=-1).mean()
    contrast = nn.functional.cross_entropy(20 * found @ goal.T, torch.arange(len(goal)))
    return 1 - cosine + 0.1 * contrast
