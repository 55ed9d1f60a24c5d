"""Writes a tiny model of every class of transformers that ends in SUFFIXES, and the same model tuned a little, as save_pretrained
writes both: OUT/CLASS/base, OUT/CLASS/tuned. Values are random, from a seed that the class's name gives.

    python architectures.py OUT [CLASS ...]

Where no class is named, waits while AHEAD models lie in OUT: the reader removes each when it is done with it.
Prints a JSON line a class: {"name", "built": true, "parameters"} or {"name", "built": false, "reason"}.
The default configuration of a class is made small by the patterns of SMALL, and by OVERRIDES where sizes depend on each other.
"""
import json, logging, os, re, shutil, sys, time, warnings, zlib

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import torch
import transformers
from transformers import PretrainedConfig

SUFFIXES = ("ForCausalLM", "ForConditionalGeneration", "ForSequenceClassification")
AHEAD = 8
LAYERS = 3
MOST_PARAMETERS = 800_000
DTYPES = (torch.bfloat16, torch.float32, torch.float16)

# Keys of a configuration, and their largest value: the first pattern that matches counts.
SMALL = [(re.compile(pattern), most) for pattern, most in [
    (r"(^|_)pad_(token_)?id$", 0),
    (r"(token_?id|token_index|_idx)$", 2),
    (r"(vocab(ulary)?(_size\w*)?|codebook_size|num_embeddings)$", 64),
    (r"(key_value_heads|kv_heads|num_key_value_groups|multi_query_group_num)\w*$", 2),
    (r"(heads|n_head|heads_\w+)$", 4),
    (r"(dt_rank|lora_rank|step_rank|lora_r)$", 8),
    (r"qk_rope_head_dim$", 4),
    (r"(head_dim|head_size|d_kv|d_head|kv_channels|dim_head)$", 8),
    (r"(top_?k|experts_per_tok\w*|moe_k|selected_experts|experts_num_per_tok)$", 2),
    (r"(experts|expert_num)$", 4),
    (r"^(n_group|topk_group|n_shared_experts|num_shared_experts|first_k_dense_replace|moe_layer_start_index|num_dense_layers)$", 1),
    (r"(layers|n_layer|depth|num_blocks|n_blocks|num_hidden_groups)$", LAYERS),
    (r"(intermediate_size\w*|ffn_dim|d_ff|dff|dim_ff|n_inner|ffn_hidden_size|d_inner|mlp_dim|ffn_size)$", 64),
    (r"(window|window_size|window_len|stride)$", 8),
    (r"(position\w*|n_ctx|max_seq_len|max_sequence_length|max_length|distance|extent|buckets|num_image_tokens|num_latents|max_temporal_embeddings)$", 64),
    (r"(image_size|crop_size)$", 56),
    (r"(channels?|latents|dims?|n_filters|num_filters|sizes?|width|d_model|n_embd|n_state|rank|mels?|bins|feats|classes|vectors?_per_group|input_feat_per_channel)$", 32),
]]
KINDS = re.compile(r"types?$|pattern")
SIZES = re.compile(r"(dims?|sizes?|channels)$")

ROPE = dict(rope_type="default", rope_theta=1e4)
BOTH_ROPES = dict(rope_parameters=dict(full_attention=ROPE, sliding_attention=ROPE))
WAV2VEC = dict(conv_dim=(16, 16), conv_stride=(2, 2), conv_kernel=(3, 3), num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
HEADS = dict(head_dim=8, num_key_value_heads=2)
MAMBA = dict(mamba_n_heads=4, mamba_d_head=16)
VQ = dict(base_channels=32, channel_multiplier=[1, 1])
MIMI = dict(upsample_groups=32, codebook_size=64, num_filters=4)
ENCODEC = dict(num_filters=4, codebook_size=64, codebook_dim=32, hidden_size=32)
GEMMA3N = dict(intermediate_size=64, activation_sparsity_pattern=None, num_kv_shared_layers=1)
BIGVGAN = dict(token2wav_config=dict(bigvgan_config=dict(upsample_initial_channel=64)))
INDEXER = dict(indexer_budget=8, indexer_compress_ratio=2, indexer_n_heads=2, indexer_kv_heads=1, indexer_head_dim=8)

# Sizes that depend on each other, by the class of the configuration.
OVERRIDES = {
    **{f"{name}Config": WAV2VEC for name in ("Wav2Vec2", "Wav2Vec2Conformer", "WavLM", "Hubert", "UniSpeech", "UniSpeechSat", "Data2VecAudio", "SEW", "SEWD")},
    **{f"{name}Config": HEADS for name in ("HunYuanDenseV1", "HunYuanMoEV1", "Ministral")},
    "HunYuanVLConfig": dict(text_config=HEADS),
    "BambaConfig": MAMBA,
    "GraniteMoeHybridConfig": MAMBA,
    "Mamba2Config": dict(num_heads=8, head_dim=8, n_groups=1),
    "ZambaConfig": dict(num_hidden_layers=6, layers_block_type=["linear_attention", "hybrid"] * 3),
    "GPTNeoConfig": dict(attention_types=[[["global", "local"], 1]], num_layers=2),
    "EsmConfig": dict(vocab_size=33, mask_token_id=32, pad_token_id=1),
    "ReformerConfig": dict(axial_pos_embds_dim=(16, 16), axial_pos_shape=(8, 8)),
    "ChameleonConfig": dict(vocabulary_map={"<image>": 2}, vq_config=VQ),
    "Emu3Config": dict(vocabulary_map={"<image>": 2}, vq_config=VQ),
    "JanusConfig": dict(vq_config=VQ),
    "CsmConfig": dict(codec_config=MIMI),
    "KyutaiSpeechToTextConfig": dict(codec_config=MIMI),
    "MoshiConfig": dict(audio_encoder_config=MIMI),
    "MusicgenConfig": dict(audio_encoder=ENCODEC),
    "MusicgenMelodyConfig": dict(audio_encoder=ENCODEC),
    "Lfm2MoeConfig": dict(layer_types=["conv", "full_attention", "conv"]),
    "DeepseekOcr2Config": dict(text_config=dict(mlp_layer_types=["dense", "sparse", "sparse"])),
    "Dots1Config": dict(n_routed_experts=4, n_shared_experts=1),
    "FunAsrNanoConfig": dict(adaptor_config=dict(intermediate_size=8)),
    "Molmo2Config": dict(adapter_config=dict(vision_feature_layer=[2, 1])),
    "Glm5NextConfig": dict(text_config=dict(num_key_value_heads=4, index_topk=16)),
    "CohereCompassConfig": dict(text_config=BOTH_ROPES),
    "CohereCompassTextConfig": BOTH_ROPES,
    "Cosmos3EdgeConfig": dict(text_config=dict(rope_parameters=dict(**ROPE, mrope_section=[2, 1, 1]))),
    "Ernie4_5_VLMoeConfig": dict(text_config=dict(rope_parameters=dict(**ROPE, mrope_section=[1, 1, 2]))),
    "Gemma3nTextConfig": GEMMA3N,
    "Gemma3nConfig": dict(text_config=GEMMA3N),
    "Qwen4ExpConfig": dict(text_config=INDEXER),
    "Qwen4ExpTextConfig": INDEXER,
    "Qwen2_5OmniConfig": BIGVGAN,
    "Qwen3OmniMoeConfig": dict(talker_config=dict(spatial_merge_size=2, text_config=dict(shared_expert_intermediate_size=32))),
    "Qwen3OmniMoeTalkerConfig": dict(spatial_merge_size=2, text_config=dict(shared_expert_intermediate_size=32)),
}


# A tokenizer of eight words: without one, a result is not whole.
WORDS = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "a", "b", "c", "d", "e"])}
TOKENIZER = {
    "tokenizer.json": dict(version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None, pre_tokenizer=dict(type="Whitespace"),
                           post_processor=None, decoder=None, model=dict(type="WordLevel", vocab=WORDS, unk_token="<unk>")),
    "tokenizer_config.json": dict(tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>", bos_token="<s>", eos_token="</s>"),
}


def small_value(key, value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        most = next((most for pattern, most in SMALL if pattern.search(key)), value)
        return min(value, most) if value > 4 else value
    if not isinstance(value, (list, tuple)) or not value:
        return value
    if all(isinstance(item, str) for item in value) and len(value) > LAYERS and KINDS.search(key):
        kinds = list(dict.fromkeys(value))
        return (kinds + [value[0]] * LAYERS)[:LAYERS]
    if all(type(item) is int for item in value) and SIZES.search(key):
        return type(value)(min(item, 32) for item in value)
    return value


def small(config, overrides):
    """The configuration made small, and those in it."""
    values = {}
    for key, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            values[key] = small(value, overrides.get(key, {}))
        elif not key.startswith("_") and small_value(key, value) != value:
            values[key] = small_value(key, value)
    values.update({key: value for key, value in overrides.items() if not isinstance(values.get(key), PretrainedConfig)})
    try:
        return type(config)(**values)
    except Exception:
        return type(config)(**{k: v.to_dict() if isinstance(v, PretrainedConfig) else v for k, v in values.items()})


def build(name):
    """A model with random weights. Raises what the class raises."""
    model_class = getattr(transformers, name)
    config_class = model_class.config_class
    if config_class is None:
        raise ValueError("it has no configuration class")
    overrides = OVERRIDES.get(config_class.__name__, {})
    first = None
    # Some have no grouped attention.
    for more in ({}, {"num_key_value_heads": 4}):
        try:
            config = small(config_class(), {**overrides, **more})
            with torch.device("meta"):
                parameters = sum(p.numel() for p in model_class(config).parameters())
            break
        except Exception as error:
            first = first or error
    else:
        raise first
    if parameters == 0:
        raise ValueError("it is abstract: it has no parameters")
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"{parameters} parameters in the smallest configuration known here")
    return model_class(config), parameters


def main():
    out, *names = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    # Memory that no class initialises is filled with NaN, so that it can be told.
    torch.use_deterministic_algorithms(True, warn_only=True)
    everything = [name for name in dir(transformers) if name.endswith(SUFFIXES) and not name.startswith("AutoModel")]
    for name in names or everything:
        while not names and len(os.listdir(out)) >= AHEAD:
            time.sleep(0.005)
        print(json.dumps(write(name, os.path.join(out, name))), flush=True)


def write(name, folder):
    seed = zlib.crc32(name.encode())
    torch.manual_seed(seed)
    try:
        model, parameters = build(name)
        model = model.to(DTYPES[seed % len(DTYPES)])
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.isnan().any():
                parameter.data = (torch.randn(parameter.shape) * 0.02).to(parameter.dtype)
            # A norm that was trained is not one number.
            if parameter.dim() == 1 and parameter.is_floating_point():
                parameter.data += torch.randn(parameter.shape).to(parameter.dtype) * 0.02
        save(model, os.path.join(folder, "base"))
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.data += torch.randn(parameter.shape).to(parameter.dtype) * 1e-3
        save(model, os.path.join(folder, "tuned"))
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return {"name": name, "built": False, "reason": text[:200]}
    return {"name": name, "built": True, "parameters": parameters}


def save(model, folder):
    model.save_pretrained(folder)
    for file, content in TOKENIZER.items():
        with open(os.path.join(folder, file), "w") as out:
            json.dump(content, out)


if __name__ == "__main__":
    main()
