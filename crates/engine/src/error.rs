//! Why a request was turned away.

/// What can be wrong with a request, or with the memory it needs.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing to read: a prompt needs at least one token.
    #[error("the prompt is empty; give some text, or a tokenizer that begins texts with <s>")]
    EmptyPrompt,
    /// Prompt and answer do not fit into the positions of the model.
    #[error(
        "{prompt} prompt tokens and {new} new ones exceed the model's {limit} positions; \
         shorten the prompt or ask for fewer tokens"
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens asked for.
        new: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// A token id is not in the model's vocabulary.
    #[error("token id {id} is not below the model's vocabulary size {vocab_size}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A sampling parameter outside its range.
    #[error("{name} is {value}, expected {expected}")]
    Sampling {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f32,
        /// The range it must lie in.
        expected: &'static str,
    },
    /// Keys and values have no room.
    #[error("{bytes} bytes for keys and values are too few for this model; give at least {needed}")]
    TooLittleMemory {
        /// What was given.
        bytes: u64,
        /// What a few tokens need.
        needed: u64,
    },
    /// A score was asked for without a continuation.
    #[error("a continuation must hold at least one token")]
    EmptyContinuation,
    /// An empty context needs a token to stand for the beginning, and the model names none.
    #[error("the context is empty and the tokenizer has no </s> to stand before the continuation")]
    NoPrefixToken,
    /// The model computed something that is not a number.
    #[error(
        "the model gave logits that are not finite; check its weights with `kollama model verify`"
    )]
    NotFinite,
    /// The device had no memory.
    #[error(transparent)]
    Kernel(#[from] kollama_kernels::KernelError),
    /// The model could not give what it needs to run.
    #[error(transparent)]
    Llama(#[from] kollama_llama::LlamaError),
}
