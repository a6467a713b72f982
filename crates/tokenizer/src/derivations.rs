//! How byte-pair encoding makes each piece out of its own characters: the last join, and when.
//!
//! A piece that is not made out of its own text by the merge loop is never in the ids of any text,
//! because what happens inside a piece's characters does not depend on what stands around them as
//! long as nothing crosses their ends. So the pieces that encoding can give, and the way each comes
//! about, are found once, by running the loop of `joining.rs` on every piece.

use crate::joining::join_telling;
use crate::merges::Merges;
use crate::symbols::Symbols;
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// How a piece is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The left half of the last join; the piece itself where it is a single character.
    pub left: TokenId,
    /// The right half.
    pub right: TokenId,
    /// The rank of the last join and one; 0 where nothing was joined.
    pub time: u32,
    /// Whether the ranks of its joins never fall, so that `time` tells what came before what.
    pub in_order: bool,
}

/// The derivation of each piece; `None` for pieces that no text is encoded with.
pub fn derivations(
    vocabulary: &Vocabulary,
    merges: &Merges,
    symbols: &Symbols,
) -> Vec<Option<Derivation>> {
    let pieces = vocabulary.pieces().iter().zip(0..);
    let derived = pieces.map(|(piece, id)| {
        // Blanks of a text are marks before anything is joined.
        let may_be_made = piece.kind == PieceKind::Normal && !piece.text.contains(' ');
        may_be_made.then(|| derive(id, symbols.spell(&piece.text)?, merges)).flatten()
    });
    derived.collect()
}

fn derive(id: TokenId, mut symbols: Vec<TokenId>, merges: &Merges) -> Option<Derivation> {
    let mut made = Derivation { left: id, right: id, time: 0, in_order: true };
    join_telling(&mut symbols, merges, |left, right, joined| {
        let time = joined.rank + 1;
        let in_order = made.in_order && time >= made.time;
        made = Derivation { left, right, time, in_order };
    });
    (symbols == [id]).then_some(made)
}
