//! Requests as one tree of token ids, laid out depth first: what two windows begin with alike is
//! read once. Plans and counts; runs no model.
//!
//! Sorted by their ids, windows that begin alike stand together, and a walk through them is a walk
//! through the tree: each branch leaves the one before it where the two begin to differ. What a
//! model makes of an id depends on the ids before it alone, so sharing is exact; a window that was
//! cut on the left shares with those that begin with the same ids after the cut, and no others.

use crate::error::EngineError;
use crate::likelihood::ScoreRequest;
use std::cmp::Ordering;

/// Ids compared at once: equal ones are passed over as fast as memory is read.
const COMPARED: usize = 64;

/// How many tokens a model reads for some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// With every request read for itself.
    pub plain: u64,
    /// With every beginning read once.
    pub read: u64,
}

/// What a model of `window` positions would read for `requests`; `prefix` as in
/// [`crate::Scorer::new`].
///
/// # Errors
/// If a request has no continuation, or no context where there is no prefix.
pub fn count_tokens(
    requests: &[ScoreRequest],
    window: usize,
    prefix: Option<u32>,
) -> Result<Tokens, EngineError> {
    Ok(PrefixTree::new(requests.iter(), window, &prefix, true)?.tokens)
}

/// A request cut to the positions of a model: `(context + continuation)[-(window + 1):]`, of which
/// the last id is predicted but not read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// The ids that are read, in two parts.
    parts: [&'a [u32]; 2],
    /// What the last rows that are read predict.
    pub labels: &'a [u32],
}

/// A window, and where it leaves the one before it.
#[derive(Clone, Debug)]
pub(crate) struct Branch<'a> {
    /// Number of the request.
    pub request: usize,
    pub window: Window<'a>,
    /// Ids that the branch before has read.
    pub shared: usize,
    /// Place of its first label in [`PrefixTree::answers`].
    pub first_answer: usize,
}

/// All requests of a call. Rows are numbered in the order in which they are read.
#[derive(Debug)]
pub(crate) struct PrefixTree<'a> {
    /// Depth first.
    pub branches: Vec<Branch<'a>>,
    /// Every label that some row is asked about, once: `(row, label)`, ascending.
    pub asked: Vec<(u64, u32)>,
    /// For every label of every branch its place in `asked`.
    pub answers: Vec<usize>,
    pub tokens: Tokens,
    /// Rows of the longest window.
    pub longest: usize,
}

impl<'a> Window<'a> {
    fn new(
        request: &'a ScoreRequest,
        positions: usize,
        prefix: &'a Option<u32>,
    ) -> Result<Window<'a>, EngineError> {
        let (mut context, mut rest) = (&request.context[..], &request.continuation[..]);
        if rest.is_empty() {
            return Err(EngineError::EmptyContinuation);
        }
        if context.is_empty() {
            context = prefix.as_slice();
        }
        if context.is_empty() {
            return Err(EngineError::NoPrefixToken);
        }
        let cut = (context.len() + rest.len()).saturating_sub(positions + 1);
        rest = &rest[cut.saturating_sub(context.len())..];
        context = &context[cut.min(context.len())..];
        let scored = rest.len() - usize::from(context.is_empty());
        let labels = &rest[rest.len() - scored..];
        Ok(Window { parts: [context, &rest[..rest.len() - 1]], labels })
    }

    /// Ids that are read.
    pub fn len(&self) -> usize {
        self.parts[0].len() + self.parts[1].len()
    }

    /// What follows the first `start` ids in the same part.
    fn after(&self, start: usize) -> &'a [u32] {
        let [first, second] = self.parts;
        match start.checked_sub(first.len()) {
            None => &first[start..],
            Some(start) => &second[start..],
        }
    }

    /// Some of the ids.
    pub fn ids(&self, start: usize, count: usize) -> impl Iterator<Item = u32> {
        self.parts.into_iter().flatten().copied().skip(start).take(count)
    }

    /// How many ids both begin with.
    fn common(&self, other: &Window) -> usize {
        let mut common = 0;
        loop {
            let (own, others) = (self.after(common), other.after(common));
            let length = own.len().min(others.len());
            let equal = common_beginning(&own[..length], &others[..length]);
            common += equal;
            if length == 0 || equal < length {
                return common;
            }
        }
    }

    fn order(&self, other: &Window) -> Ordering {
        let common = self.common(other);
        self.after(common).first().cmp(&other.after(common).first())
    }
}

fn common_beginning(one: &[u32], other: &[u32]) -> usize {
    let chunks = one.chunks(COMPARED).zip(other.chunks(COMPARED));
    let equal = COMPARED * chunks.take_while(|(one, other)| one == other).count();
    let equal = equal.min(one.len());
    let rest = one[equal..].iter().zip(&other[equal..]);
    equal + rest.take_while(|(one, other)| one == other).count()
}

impl<'a> PrefixTree<'a> {
    /// Without `sharing` every branch begins at the root.
    pub fn new(
        requests: impl Iterator<Item = &'a ScoreRequest>,
        positions: usize,
        prefix: &'a Option<u32>,
        sharing: bool,
    ) -> Result<PrefixTree<'a>, EngineError> {
        let window = |request| Window::new(request, positions, prefix);
        let windows = requests.map(window).collect::<Result<Vec<_>, _>>()?;
        let mut branches = branches(&windows, sharing);
        let asked = ask(&mut branches);
        let tokens = Tokens {
            plain: windows.iter().map(|window| window.len() as u64).sum(),
            read: branches.iter().map(|branch| branch.new_rows() as u64).sum(),
        };
        let longest = windows.iter().map(Window::len).max().unwrap_or(0);
        let (asked, answers) = each_once(asked);
        Ok(PrefixTree { branches, asked, answers, tokens, longest })
    }

    /// How many of `asked` are about rows before this one.
    pub fn asked_before(&self, row: u64) -> usize {
        self.asked.partition_point(|&(asked, _)| asked < row)
    }
}

impl Branch<'_> {
    fn new_rows(&self) -> usize {
        self.window.len() - self.shared
    }
}

/// Equal windows stay in the order of their requests.
fn branches<'a>(windows: &[Window<'a>], sharing: bool) -> Vec<Branch<'a>> {
    let mut order: Vec<usize> = (0..windows.len()).collect();
    if sharing {
        order.sort_by(|&one, &other| windows[one].order(&windows[other]));
    }
    let mut before: Option<Window> = None;
    let branch = |request: usize| {
        let window = windows[request];
        let shared = before.filter(|_| sharing).map_or(0, |before| window.common(&before));
        before = Some(window);
        Branch { request, window, shared, first_answer: 0 }
    };
    order.into_iter().map(branch).collect()
}

/// Row and label of every answer, branch after branch.
fn ask(branches: &mut [Branch]) -> Vec<(u64, u32)> {
    let (mut path, mut rows, mut asked) = (Vec::new(), 0, Vec::new());
    for branch in branches {
        path.truncate(branch.shared);
        let new = branch.new_rows() as u64;
        path.extend(rows..rows + new);
        rows += new;
        branch.first_answer = asked.len();
        let labels = branch.window.labels;
        asked.extend(path[path.len() - labels.len()..].iter().copied().zip(labels.iter().copied()));
    }
    asked
}

/// The distinct ones in order, and where among them each is.
fn each_once(asked: Vec<(u64, u32)>) -> (Vec<(u64, u32)>, Vec<usize>) {
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_unstable_by_key(|&answer| asked[answer]);
    let (mut once, mut places) = (Vec::new(), vec![0; asked.len()]);
    for answer in order {
        if once.last() != Some(&asked[answer]) {
            once.push(asked[answer]);
        }
        places[answer] = once.len() - 1;
    }
    (once, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(context: &[u32], continuation: &[u32]) -> ScoreRequest {
        ScoreRequest { context: context.to_vec(), continuation: continuation.to_vec() }
    }

    fn read(window: &Window) -> Vec<u32> {
        window.ids(0, window.len()).collect()
    }

    #[test]
    fn a_window_is_the_end_of_a_request_without_its_last_id() {
        let request = request(&[1, 2, 3], &[4, 5]);
        let window = |positions| Window::new(&request, positions, &None).unwrap();
        for (positions, ids, labels) in [
            (9, &[1, 2, 3, 4][..], &[4, 5][..]),
            (4, &[1, 2, 3, 4], &[4, 5]),
            (3, &[2, 3, 4], &[4, 5]),
            (2, &[3, 4], &[4, 5]),
            (1, &[4], &[5]),
        ] {
            assert_eq!(
                (read(&window(positions)).as_slice(), window(positions).labels),
                (ids, labels)
            );
        }
    }

    #[test]
    fn a_prefix_stands_for_an_empty_context_alone() {
        let (empty, nothing, prefix) = (request(&[], &[4, 5]), request(&[1], &[]), Some(2));
        assert_eq!(read(&Window::new(&empty, 9, &prefix).unwrap()), [2, 4]);
        let refused = [Window::new(&empty, 9, &None), Window::new(&nothing, 9, &prefix)];
        assert!(matches!(refused[0], Err(EngineError::NoPrefixToken)));
        assert!(matches!(refused[1], Err(EngineError::EmptyContinuation)));
    }

    #[test]
    fn beginnings_are_read_once_wherever_contexts_end_and_duplicates_not_at_all() {
        let requests = [
            request(&[1, 2, 3], &[7, 9]),
            request(&[5], &[6]),
            request(&[1, 2], &[3, 7, 8]),
            request(&[1, 2, 3], &[7, 9]),
            request(&[1, 2, 4], &[7]),
            request(&[1, 2], &[3]),
        ];
        let tree = PrefixTree::new(requests.iter(), 100, &None, true).unwrap();
        let order: Vec<_> = tree.branches.iter().map(|b| (b.request, b.shared)).collect();
        assert_eq!(order, [(5, 0), (0, 2), (2, 4), (3, 4), (4, 2), (1, 0)]);
        assert_eq!(tree.tokens, Tokens { plain: 4 + 1 + 4 + 4 + 3 + 2, read: 2 + 2 + 1 + 1 });
        // Rows: 1 2 | 3 7 | 4 | 5.
        let asked = [(1, 3), (2, 7), (3, 8), (3, 9), (4, 7), (5, 6)];
        assert_eq!(tree.asked, asked);
        let of = |branch: &Branch| {
            let first = branch.first_answer;
            tree.answers[first..first + branch.window.labels.len()].to_vec()
        };
        let answers: Vec<_> = tree.branches.iter().map(of).collect();
        assert_eq!(answers, [vec![0], vec![1, 3], vec![0, 1, 2], vec![1, 3], vec![4], vec![5]]);
        let apart = PrefixTree::new(requests.iter(), 100, &None, false).unwrap();
        assert_eq!(apart.tokens, Tokens { plain: 18, read: 18 });
        assert_eq!(apart.asked.len(), 2 + 1 + 3 + 2 + 1 + 1);
    }

    #[test]
    fn what_is_read_are_the_distinct_beginnings_of_windows() {
        let id = |seed: usize| ((seed * 2_654_435_761) >> 7) as u32 % 3;
        let ids = |seed: usize, count| (0..count).map(|place| id(seed * place + seed)).collect();
        let request = |i| ScoreRequest { context: ids(i, i % 9), continuation: ids(i, 1 + i % 4) };
        let requests: Vec<ScoreRequest> = (0..300).map(request).collect();
        for positions in [3, 7, 20] {
            let mut beginnings = std::collections::HashSet::new();
            let mut plain = 0;
            for request in &requests {
                let ids = read(&Window::new(request, positions, &Some(1)).unwrap());
                plain += ids.len() as u64;
                beginnings.extend((1..=ids.len()).map(|length| ids[..length].to_vec()));
            }
            let expected = Tokens { plain, read: beginnings.len() as u64 };
            assert_eq!(count_tokens(&requests, positions, Some(1)).unwrap(), expected);
        }
    }

    #[test]
    fn cut_windows_share_only_what_they_begin_with_after_the_cut() {
        // Both lose their beginning; the longer continuation loses one id more of it.
        let requests = [request(&[1, 2, 3, 4], &[5]), request(&[1, 2, 3, 4], &[5, 6])];
        assert_eq!(count_tokens(&requests, 3, None).unwrap(), Tokens { plain: 6, read: 6 });
        let equal = [request(&[1, 2, 3, 4], &[5]), request(&[9, 2, 3, 4], &[6])];
        assert_eq!(count_tokens(&equal, 3, None).unwrap(), Tokens { plain: 6, read: 3 });
    }

    #[test]
    fn long_beginnings_are_compared_to_their_end() {
        for common in [0, 1, 63, 64, 65, 200, 500] {
            let mut one: Vec<u32> = (0..500).collect();
            let other = one.clone();
            one.iter_mut().skip(common).for_each(|id| *id += 1);
            assert_eq!(common_beginning(&one, &other), common);
            let cuts = |ids: &[u32], cut: usize| request(&ids[..cut], &ids[cut..]);
            let requests = [cuts(&one, 100), cuts(&other, 300)];
            let [one, other] = [0, 1].map(|i| Window::new(&requests[i], 999, &None).unwrap());
            assert_eq!(one.common(&other), common.min(499));
        }
    }
}
