"""Bases and fine-tuned models whose names differ, made and loaded by transformers itself.

    python names.py make OUT      one folder a case below OUT, and OUT/cases.json
    python names.py check CASE    asserts that transformers loads CASE/recovered whole, with the fine-tuned model's bits

cases.json: for every case its folder, its notes (what it is about) and, by name, dtype and sha256 of what an additive diff must hold
(`diff`) and of the fine-tuned model under the names that loaders know (`tuned`). A difference is what weight_diff.py makes: both
models loaded in float32 by from_pretrained as the fine-tuned one's class, tuned - base. What the base does not have is the tuned
model's own, as it is stored.
"""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import torch
import transformers as T
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
T.logging.set_verbosity_error()
T.utils.logging.disable_progress_bar()
GPT = dict(vocab_size=40, bos_token_id=0, eos_token_id=1)
LLAMA = dict(GPT, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2)
BERT = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=40, pad_token_id=0)
UNTIED = dict(tie_word_embeddings=False)

CONFIGS = {
    "Llama": T.LlamaConfig(**LLAMA, **UNTIED),
    "GPT2": T.GPT2Config(**GPT, n_embd=16, n_layer=2, n_head=2, n_positions=16, **UNTIED),
    "GPTNeo": T.GPTNeoConfig(**GPT, hidden_size=16, num_layers=2, num_heads=2, attention_types=[[["global"], 2]], **UNTIED),
    "GPTJ": T.GPTJConfig(**GPT, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, n_positions=16, **UNTIED),
    "GPTNeoX": T.GPTNeoXConfig(**LLAMA, **UNTIED),
    "Falcon": T.FalconConfig(**GPT, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **UNTIED),
    "Bloom": T.BloomConfig(**GPT, hidden_size=16, n_layer=2, n_head=2, **UNTIED),
    "OPT": T.OPTConfig(**GPT, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=16, max_position_embeddings=16, **UNTIED),
    "Bert": T.BertConfig(**BERT, **UNTIED),
    "Roberta": T.RobertaConfig(**BERT, **UNTIED),
    "DistilBert": T.DistilBertConfig(vocab_size=40, dim=16, hidden_dim=24, n_layers=2, n_heads=2, **UNTIED),
    "T5": T.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, **UNTIED),
}
LANGUAGE = dict(Llama="LlamaForCausalLM", GPT2="GPT2LMHeadModel", GPTNeo="GPTNeoForCausalLM", GPTJ="GPTJForCausalLM", GPTNeoX="GPTNeoXForCausalLM",
                Falcon="FalconForCausalLM", Bloom="BloomForCausalLM", OPT="OPTForCausalLM", Bert="BertForMaskedLM", Roberta="RobertaForMaskedLM",
                DistilBert="DistilBertForMaskedLM", T5="T5ForConditionalGeneration")


def build(cls, config, seed):
    torch.manual_seed(seed)
    model = getattr(T, cls)(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data, 0.5, 0.1)
    return model.to(torch.bfloat16).eval()


def sha(tensor):
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def listed(state):
    return {name: [str(tensor.dtype).split(".")[1], sha(tensor)] for name, tensor in state.items()}


def saved(model, folder, names=None):
    """As save_pretrained writes it; or the state dict under other names, as torch.save does."""
    model.save_pretrained(folder)
    if names is not None:
        state = {names(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
        (folder / "model.safetensors").unlink()
        torch.save(state, folder / "pytorch_model.bin")


def case(out, name, base, tuned, base_names=None, tuned_names=None, buffers=None):
    """@param base_names, tuned_names what stands in the files for a name of the model. @param buffers more tensors of the base."""
    folder = out / name
    saved(base, folder / "clean-base")
    saved(base, folder / "base", base_names)
    saved(tuned, folder / "clean-tuned")
    saved(tuned, folder / "tuned", tuned_names)
    if buffers is not None:
        path = folder / "base" / "model.safetensors"
        save_file(load_file(path) | buffers, path, metadata={"format": "pt"})
    cls = type(tuned)
    raw, info = cls.from_pretrained(folder / "clean-base", dtype=torch.float32, output_loading_info=True)
    theirs = raw.state_dict()
    ours = load_file(folder / "clean-tuned" / "model.safetensors")
    diff = {}
    for key, tensor in ours.items():
        found = key if key in theirs else new_name(key)
        diff[key] = tensor if found in info["missing_keys"] else tensor.float().sub_(theirs[found])
    for side in ("clean-base", "clean-tuned"):
        shutil.rmtree(folder / side)
    return {"name": name, "class": cls.__name__, "diff": listed(diff), "tuned": listed(ours)}


def new_name(key):
    """What a saved name of LLaVA, Qwen2-VL or GPT-NeoX is in the model itself."""
    for pattern, now in ((r"^embed_out\.", "lm_head."), (r"^language_model\.model\.", "model.language_model."), (r"^language_model\.lm_head", "lm_head"),
                         (r"^(vision_tower|multi_modal_projector|visual)\.", r"model.\1."), (r"^model\.(?!language_model|visual)", "model.language_model.")):
        key, found = re.subn(pattern, now, key)
        if found:
            return key
    return key


def wrapped(wrapper):
    """A name as the wrapper's own state dict has it."""
    def rename(model):
        inner = model.state_dict()
        outer = list(wrapper(model).state_dict())
        assert len(outer) == len(inner) and outer != list(inner)
        return dict(zip(inner, outer)).__getitem__
    return rename


def compiled_layers(model):
    for index, layer in enumerate(model.model.layers):
        model.model.layers[index] = torch.compile(layer)
    return model


WRAPPERS = {
    "DataParallel": wrapped(torch.nn.DataParallel),
    "compile": wrapped(torch.compile),
    "DataParallel-compile": wrapped(lambda model: torch.nn.DataParallel(torch.compile(model))),
    "compiled-layers": wrapped(compiled_layers),
    # By the sources of torch 2.13.0 (distributed/fsdp/_common_utils.py), peft 0.17.1 (tuners/lora/layer.py) and trl 0.9.6 (models/modeling_base.py).
    "fsdp": lambda model: lambda name: re.sub(r"(layers\.\d+)\.", r"\1._fsdp_wrapped_module.", f"_fsdp_wrapped_module.{name}"),
    "peft": lambda model: lambda name: "base_model.model." + re.sub(r"([qv]_proj)\.", r"\1.base_layer.", name),
    "trl": lambda model: lambda name: f"pretrained_model.{name}",
}


def towers():
    vision = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4, projection_dim=16)
    llava = T.LlavaConfig(vision_config=T.CLIPVisionConfig(**vision), text_config=T.LlamaConfig(**LLAMA), image_token_index=39, **UNTIED)
    qwen = T.Qwen2VLConfig(text_config=dict(LLAMA, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]}),
                           vision_config=dict(depth=1, embed_dim=16, num_heads=2, hidden_size=16, patch_size=4), **UNTIED)
    return {"LlavaForConditionalGeneration": llava, "Qwen2VLForConditionalGeneration": qwen}


def make(out):
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    cases = []
    for family, config in CONFIGS.items():
        head, bare = LANGUAGE[family], f"{family}Model"
        cases.append(case(out, f"{family}-bare-base", build(bare, config, 1), build(head, config, 2)))
        cases.append(case(out, f"{family}-bare-tuned", build(head, config, 3), build(bare, config, 4)))
    for family in ("Llama", "GPT2", "Bert"):
        config, cls = CONFIGS[family], LANGUAGE[family]
        for name, wrapper in WRAPPERS.items():
            if family != "Llama" and name in ("compiled-layers", "fsdp"):
                continue
            names = wrapper(build(cls, config, 0))
            cases.append(case(out, f"{family}-{name}-tuned", build(cls, config, 5), build(cls, config, 6), tuned_names=names))
            cases.append(case(out, f"{family}-{name}-base", build(cls, config, 7), build(cls, config, 8), base_names=names))
    for family, base, tuned in (
        ("Llama", "LlamaForCausalLM", "LlamaForSequenceClassification"),
        ("Llama", "LlamaModel", "LlamaForTokenClassification"),
        ("GPT2", "GPT2LMHeadModel", "GPT2ForSequenceClassification"),
        ("GPTNeoX", "GPTNeoXForCausalLM", "GPTNeoXForQuestionAnswering"),
        ("Bert", "BertForPreTraining", "BertForMaskedLM"),
        ("Bert", "BertForPreTraining", "BertForSequenceClassification"),
        ("Bert", "BertForMaskedLM", "BertForTokenClassification"),
        ("Roberta", "RobertaForMaskedLM", "RobertaForSequenceClassification"),
        ("DistilBert", "DistilBertForMaskedLM", "DistilBertForQuestionAnswering"),
        ("Bloom", "BloomForSequenceClassification", "BloomForCausalLM"),
        ("T5", "T5ForConditionalGeneration", "T5ForSequenceClassification"),
    ):
        cases.append(case(out, f"{base}-{tuned}", build(base, CONFIGS[family], 9), build(tuned, CONFIGS[family], 10)))
    mask = torch.tril(torch.ones(1, 1, 16, 16))
    masks = {f"transformer.h.{n}.attn.bias": mask.clone() for n in (0, 1)} | {f"transformer.h.{n}.attn.masked_bias": torch.tensor(-1e4) for n in (0, 1)}
    cases.append(case(out, "GPT2-masks", build("GPT2LMHeadModel", CONFIGS["GPT2"], 11), build("GPT2LMHeadModel", CONFIGS["GPT2"], 12), buffers=masks))
    rotary = {f"gpt_neox.layers.{n}.attention.{x}": t for n in (0, 1) for x, t in
              {"bias": mask.bool(), "masked_bias": torch.tensor(-1e9), "rotary_emb.inv_freq": torch.ones(2)}.items()}
    cases.append(case(out, "GPTNeoX-buffers", build("GPTNeoXForCausalLM", CONFIGS["GPTNeoX"], 13), build("GPTNeoXForCausalLM", CONFIGS["GPTNeoX"], 14),
                      buffers={name: tensor.clone() for name, tensor in rotary.items()}))
    ids = {"bert.embeddings.position_ids": torch.arange(512)[None]}
    cases.append(case(out, "Bert-ids", build("BertForMaskedLM", CONFIGS["Bert"], 15), build("BertForMaskedLM", CONFIGS["Bert"], 16), buffers=ids))
    gamma = lambda name: re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name))
    cases.append(case(out, "Bert-gamma", build("BertForMaskedLM", CONFIGS["Bert"], 17), build("BertForMaskedLM", CONFIGS["Bert"], 18), base_names=gamma))
    for cls, config in towers().items():
        cases.append(case(out, f"{cls}-same", build(cls, config, 19), build(cls, config, 20)))
        cases.append(case(out, f"{cls}-new-base", build(cls, config, 21), build(cls, config, 22), base_names=new_name))
        new = case(out, f"{cls}-new-tuned", build(cls, config, 23), build(cls, config, 24), tuned_names=new_name)
        cases.append(new | {side: {new_name(name): tensor for name, tensor in new[side].items()} for side in ("diff", "tuned")})
    (out / "cases.json").write_text(json.dumps(cases))


def check(folder):
    found = next(one for one in json.loads((folder.parent / "cases.json").read_text()) if one["name"] == folder.name)
    model, info = getattr(T, found["class"]).from_pretrained(folder / "recovered", dtype="auto", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], (folder.name, info)
    assert not info["unexpected_keys"], (folder.name, info)
    state = listed({name: tensor for name, tensor in model.state_dict().items()})
    for name, (dtype, digest) in found["tuned"].items():
        assert state[name if name in state else new_name(name)] == [dtype, digest], (folder.name, name)


if sys.argv[1] == "make":
    make(Path(sys.argv[2]))
else:
    for folder in sys.argv[2:]:
        check(Path(folder))
