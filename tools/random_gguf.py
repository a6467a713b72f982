"""Writes a Llama of random weights as GGUF files, for the peers of tools/bench_generate.py.

    python tools/random_gguf.py --shape 1b --out FOLDER [--types BF16 Q8_0 Q4_0 Q4_K_M]

The shapes are those of `kollama bench generate`. BF16 is written here, the others are made from it by
llama.cpp's own quantiser, as its users do. The vocabulary has 46,336 pieces without text: the files
are for measuring speed only. Needs numpy, gguf and llama-cpp-python; a 7b BF16 file has 13.7 GB.
"""

import argparse
import pathlib

import gguf
import llama_cpp
import numpy

VOCABULARY = 46336
# Hidden, layers, heads, key heads, intermediate.
SHAPES = {"1b": (2048, 22, 32, 4, 5632), "7b": (4096, 32, 32, 32, 11008)}
QUANTISED = {
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}


def tensors(shape):
    """Names and shapes, in the order of the file."""
    hidden, layers, heads, key_heads, intermediate = SHAPES[shape]
    keys = hidden // heads * key_heads
    yield "token_embd.weight", (VOCABULARY, hidden)
    for layer in range(layers):
        for name, size in [
            ("attn_norm", (hidden,)), ("attn_q", (hidden, hidden)), ("attn_k", (keys, hidden)),
            ("attn_v", (keys, hidden)), ("attn_output", (hidden, hidden)), ("ffn_norm", (hidden,)),
            ("ffn_gate", (intermediate, hidden)), ("ffn_up", (intermediate, hidden)),
            ("ffn_down", (hidden, intermediate)),
        ]:
            yield f"blk.{layer}.{name}.weight", size
    yield "output_norm.weight", (hidden,)
    yield "output.weight", (VOCABULARY, hidden)


def describe(writer, shape):
    hidden, layers, heads, key_heads, intermediate = SHAPES[shape]
    writer.add_context_length(4096)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(intermediate)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("llama")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<unk>", "<s>", "</s>"]
    named = [f"piece{number}" for number in range(VOCABULARY - 259)]
    writer.add_token_list([piece.encode() for piece in special + bytes_ + named])
    writer.add_token_scores([0.0] * VOCABULARY)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256
                           + [kinds.NORMAL] * (VOCABULARY - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def write_bf16(path, shape):
    writer = gguf.GGUFWriter(path, "llama")
    describe(writer, shape)
    bf16 = gguf.GGMLQuantizationType.BF16
    for name, size in tensors(shape):
        if len(size) == 1:
            writer.add_tensor_info(name, size, numpy.dtype(numpy.float32), 4 * size[0])
        else:
            raw = (size[0], 2 * size[1])
            writer.add_tensor_info(name, raw, numpy.dtype(numpy.uint8), raw[0] * raw[1], bf16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = numpy.random.default_rng(1)
    for _, size in tensors(shape):
        if len(size) == 1:
            writer.write_tensor_data(numpy.ones(size, numpy.float32))
        else:
            values = random.standard_normal(size, numpy.float32) * numpy.float32(0.02)
            writer.write_tensor_data((values.view(numpy.uint32) >> 16).astype(numpy.uint16).view(numpy.uint8))
    writer.close()


def quantise(source, target, kind):
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = QUANTISED[kind]
    parameters.nthread = 2
    done = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters)
    if done != 0:
        raise SystemExit(f"llama.cpp could not make {target}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--types", nargs="+", choices=["BF16", *QUANTISED], default=["BF16", *QUANTISED])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    source = arguments.out / f"{arguments.shape}-BF16.gguf"
    if not source.exists():
        unfinished = source.with_suffix(".unfinished")
        write_bf16(unfinished, arguments.shape)
        unfinished.rename(source)
    for kind in arguments.types:
        target = arguments.out / f"{arguments.shape}-{kind}.gguf"
        if not target.exists():
            quantise(source, target, kind)
        print(target, target.stat().st_size)


if __name__ == "__main__":
    main()
