"""Prints, for every family that AutoModelForCausalLM loads, whether its head is its input embedding by default and which tensors
are tied: what src/checkpoint/tied-families.ts and src/known/embeddings.ts say. Needs transformers.
"""

import json
import logging
import warnings

import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
transformers.logging.set_verbosity_error()

families = {}
for config_class, model_class in MODEL_FOR_CAUSAL_LM_MAPPING.items():
    try:
        config = config_class()
    except Exception:  # some cannot be made without settings
        continue
    model = model_class[0] if isinstance(model_class, tuple) else model_class
    tied = getattr(config, "tie_word_embeddings", None)
    keys = getattr(model, "_tied_weights_keys", None) or {}
    families[config_class.model_type] = {"tied": tied, "class": model.__name__, "keys": dict(keys)}
print(json.dumps({"transformers": transformers.__version__, "families": families}))
