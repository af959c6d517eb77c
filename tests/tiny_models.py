"""Random models of every Hugging Face family over a five-word tokenizer, for tests without a download."""

from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

FAMILIES = ("bert", "roberta", "gpt2", "llama", "t5")
WORDS = ("<s>", "<pad>", "</s>", "<unk>", "red", "green", "blue", "cat", "dog")
_TEMPLATES = {
    "bert": "<s> $A </s>",
    "roberta": "<s> $A </s>",
    "gpt2": "$A",
    "llama": "<s> $A",
    "t5": "$A </s>",
}
_SPECIAL = {
    "bert": {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"},
    "roberta": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    "gpt2": {"eos_token": "</s>"},
    "llama": {"bos_token": "<s>", "eos_token": "</s>"},
    "t5": {"eos_token": "</s>", "pad_token": "<pad>"},
}


def save_tiny_model(folder: Path, family: str, seed: int = 0) -> Path:
    """Four layers, width 16, weights large enough for layers to differ; equal seeds give equal files."""
    torch.manual_seed(seed)
    model = hf.AutoModel.from_config(_config(family))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    _tokenizer(family).save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> hf.PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single=_TEMPLATES[family], special_tokens=[(word, vocabulary[word]) for word in WORDS[:4]]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", model_max_length=128, **_SPECIAL[family]
    )


def _config(family: str) -> hf.PretrainedConfig:
    size = {"vocab_size": len(WORDS), "pad_token_id": 1}
    common = {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 130,
        **size,
    }
    match family:
        case "bert":
            return hf.BertConfig(**common)
        case "roberta":
            return hf.RobertaConfig(**common)
        case "llama":
            return hf.LlamaConfig(num_key_value_heads=1, **common)
        case "gpt2":
            return hf.GPT2Config(
                n_embd=16, n_layer=4, n_head=2, n_positions=130, vocab_size=len(WORDS)
            )
        case "t5":
            return hf.T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=4, num_heads=2, **size)
    raise ValueError(family)
