//! Prompts to ids: one request per choice, and a fingerprint over all of them.
//!
//! Context and continuation are encoded **separately** and without `<s>`, as the `polyglot` branch
//! of lm-evaluation-harness does. With a tokenizer that puts a blank before every text, the
//! continuation of a Llama then begins with two; the published numbers contain that.

use crate::shots::Prompt;
use crate::task::Task;
use kollama_engine::{ScoreRequest, Tokenizer};
use sha2::{Digest, Sha256};

/// Document after document, within a document choice after choice.
pub fn requests(task: &Task, prompts: &[Prompt], tokenizer: &Tokenizer) -> Vec<ScoreRequest> {
    let mut requests = Vec::new();
    for prompt in prompts {
        let context = tokenizer.encode_to_vec(&prompt.context);
        for choice in &task.documents[prompt.document].choices {
            let continuation = tokenizer.encode_to_vec(choice);
            requests.push(ScoreRequest { context: context.clone(), continuation });
        }
    }
    requests
}

/// Whether a model of `window` positions sees only the end of the request. The last id is only
/// predicted, never read, so one more than the window fits.
pub fn is_cut(request: &ScoreRequest, window: usize) -> bool {
    request.context.len().max(1) + request.continuation.len() > window + 1
}

/// SHA-256 over the requests in their order, each written as the number of context ids, these,
/// the number of continuation ids, these; all as 32-bit little-endian words. In hexadecimal.
pub fn fingerprint(requests: &[ScoreRequest]) -> String {
    let mut hash = Sha256::new();
    for request in requests {
        for ids in [&request.context, &request.continuation] {
            hash.update((ids.len() as u32).to_le_bytes());
            ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(context: &[u32], continuation: &[u32]) -> ScoreRequest {
        ScoreRequest { context: context.to_vec(), continuation: continuation.to_vec() }
    }

    #[test]
    fn a_request_fits_as_long_as_all_but_its_last_id_do() {
        assert!(!is_cut(&request(&[1, 2, 3], &[4, 5]), 4));
        assert!(is_cut(&request(&[1, 2, 3, 4], &[5, 6]), 4));
        assert!(!is_cut(&request(&[], &[1, 2, 3, 4]), 4), "the prefix token takes one place");
        assert!(is_cut(&request(&[], &[1, 2, 3, 4, 5]), 4));
    }

    #[test]
    fn the_fingerprint_is_sha256_over_counts_and_ids() {
        // hashlib.sha256(struct.pack("<5I", 2, 1, 32000, 1, 7)).hexdigest() in Python.
        let expected = "7b7a0ac1d522d26050ff150f18d5964f6c19c200c98ee845eac51693f6c6d137";
        assert_eq!(fingerprint(&[request(&[1, 32000], &[7])]), expected);
    }

    #[test]
    fn the_fingerprint_tells_where_a_context_ends() {
        let split = [request(&[1, 2], &[3])];
        assert_ne!(fingerprint(&split), fingerprint(&[request(&[1], &[2, 3])]));
        assert_ne!(fingerprint(&split), fingerprint(&[split[0].clone(), split[0].clone()]));
    }
}
