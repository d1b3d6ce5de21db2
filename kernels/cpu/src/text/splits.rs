//! Finds, for every token of a vocabulary, the two tokens that it is merged from.
//!
//! Tokens are taken in the order of their ranks: the halves of a token have been made before it, so
//! only splits into tokens found already are tried. But in real vocabularies some tokens rank before
//! one of their halves (Llama 3 has hundreds: its vocabulary was joined from two). Such a token is
//! made in the moment in which its later half is made, since by then its rank is below all others.
//! So it waits for its halves, and is numbered right behind the later one.

use super::hash::NONE;
use super::merge::{Agenda, Symbol};
use super::vocabulary::{Merge, MergeList, Merges, Vocabulary};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A merge whose halves come after it.
#[derive(Clone, Copy)]
struct Late {
    left: u32,
    right: u32,
    rank: u32,
    token: u32,
}

/// A token that was numbered behind its later half.
struct Follower {
    token: u32,
    /// The token, made in its turn, that set off the chain of followers.
    root: u32,
    /// The half that was there already.
    taken: u32,
    /// Whether that half stands to the right.
    to_the_right: bool,
    /// Whether both halves were set off by the same token.
    twice: bool,
}

struct Search<'a> {
    vocabulary: &'a mut Vocabulary,
    /// Merges that wait for their halves.
    late: Vec<Late>,
    /// Which of them wait for a token.
    waiting: BTreeMap<u32, Vec<u32>>,
    followers: Vec<Follower>,
    /// Root of each follower.
    roots: BTreeMap<u32, u32>,
    /// The last number given.
    number: u32,
}

/// Fills in ranks and splits. The ranks order all merges in texts that have none of the tokens given.
pub fn find_splits(vocabulary: &mut Vocabulary) -> Result<Vec<u32>, &'static str> {
    let mut search = Search {
        vocabulary,
        late: Vec::new(),
        waiting: BTreeMap::new(),
        followers: Vec::new(),
        roots: BTreeMap::new(),
        number: 0,
    };
    let merges = core::mem::replace(
        &mut search.vocabulary.merges,
        Merges::List(MergeList::default()),
    );
    let mut irregular = match &merges {
        Merges::Concatenation(ranks) => search.by_rank(ranks)?,
        Merges::List(list) => search.by_list(&list.in_turn)?,
        Merges::Table(_) => return Err("merges come as a list"),
    };
    search.vocabulary.merges = merges;
    irregular.extend(search.disturbed());
    irregular.extend(search.disagreeing());
    Ok(irregular)
}

impl Search<'_> {
    /// Goes through the tokens by rank; gives the followers that have the rank of other tokens too, or
    /// whose roots do: their order depends on the text.
    fn by_rank(&mut self, ranks: &[u32]) -> Result<Vec<u32>, &'static str> {
        let texts = &self.vocabulary.texts;
        let mut order: Vec<(u32, u32, u32)> = ranks
            .iter()
            .enumerate()
            .filter(|&(token, &rank)| rank != NONE && !self.vocabulary.stable[token])
            .map(|(token, &rank)| (rank, texts.get(token as u32).len() as u32, token as u32))
            .collect();
        // Among equals the shorter come first: they are parts of the longer.
        order.sort_unstable();
        let (mut last, mut turn) = (NONE, 0);
        for &(rank, _, token) in &order {
            if rank != last {
                turn = self.number + 1;
                last = rank;
            }
            let Some(split) = self.find_split(token, turn) else {
                self.wait_for_halves(token, rank);
                continue;
            };
            self.number = self.number.max(turn);
            self.settle(token, split, turn)?;
            self.follow(token)?;
        }
        let alone = |token: u32| {
            let rank = ranks[token as usize];
            let at = order.partition_point(|o| o.0 < rank);
            order.get(at + 1).is_none_or(|next| next.0 != rank)
        };
        let unclear = |f: &&Follower| !(alone(f.token) && alone(f.root));
        Ok(self
            .followers
            .iter()
            .filter(unclear)
            .map(|f| f.token)
            .collect())
    }

    /// The two stable tokens that merge into `token`.
    fn find_split(&self, token: u32, turn: u32) -> Option<(u32, u32)> {
        let vocabulary = &*self.vocabulary;
        let text = vocabulary.texts.get(token);
        // From prefix to shorter prefix: no byte is walked, and the first that is tried mostly fits.
        let shorter = |token: u32| {
            let prefix = vocabulary.tokens[token as usize].prefix;
            (prefix != NONE).then_some(prefix)
        };
        let stable = |token: &u32| vocabulary.stable[*token as usize];
        core::iter::successors(shorter(token), |&left| shorter(left))
            .filter(stable)
            .find_map(|left| {
                let at = vocabulary.lengths[left as usize] as usize;
                let right = vocabulary
                    .by_text
                    .find(&vocabulary.texts, text, at, text.len() - at);
                let usable = right != NONE && stable(&right);
                // A right half of the same rank would be made after what stands left of it.
                let before = usable && vocabulary.tokens[right as usize].rank < turn;
                (before && vocabulary.fit(left, right)).then_some((left, right))
            })
    }

    /// Lets a token wait for every pair of halves that are tokens.
    fn wait_for_halves(&mut self, token: u32, rank: u32) {
        let vocabulary = &*self.vocabulary;
        let text = vocabulary.texts.get(token);
        let find =
            |at: usize, len: usize| vocabulary.by_text.find(&vocabulary.texts, text, at, len);
        let pairs: Vec<(u32, u32)> = (1..text.len())
            .map(|at| (find(0, at), find(at, text.len() - at)))
            .filter(|&(left, right)| left != NONE && right != NONE)
            .collect();
        for (left, right) in pairs {
            self.wait(Late {
                left,
                right,
                rank,
                token,
            });
        }
    }

    fn wait(&mut self, late: Late) {
        let index = self.late.len() as u32;
        self.late.push(late);
        for half in [late.left, late.right] {
            if !self.vocabulary.stable[half as usize] {
                self.waiting.entry(half).or_default().push(index);
            }
        }
    }

    /// Goes through the list of merges.
    fn by_list(&mut self, list: &[Merge]) -> Result<Vec<u32>, &'static str> {
        for &(left, right, rank, token) in list {
            if self.vocabulary.stable[token as usize] {
                continue;
            }
            let ready = [left, right]
                .iter()
                .all(|&half| self.vocabulary.stable[half as usize]);
            if !ready {
                self.wait(Late {
                    left,
                    right,
                    rank,
                    token,
                });
            } else if self.vocabulary.fit(left, right) {
                self.number += 1;
                self.settle(token, (left, right), self.number)?;
                self.follow(token)?;
            }
        }
        Ok(Vec::new())
    }

    fn settle(&mut self, token: u32, split: (u32, u32), rank: u32) -> Result<(), &'static str> {
        let vocabulary = &mut *self.vocabulary;
        vocabulary.stable[token as usize] = true;
        let entry = &mut vocabulary.tokens[token as usize];
        (entry.rank, entry.left, entry.right) = (rank, split.0, split.1);
        vocabulary.pairs.insert(split, token, rank)
    }

    /// Settles what has waited for a token, and what has waited for that, lowest ranks first.
    fn follow(&mut self, token: u32) -> Result<(), &'static str> {
        let mut ready = self.take_waiting(token);
        while let Some(Late {
            left, right, token, ..
        }) = ready.pop()
        {
            let vocabulary = &*self.vocabulary;
            let there = |half: u32| vocabulary.stable[half as usize];
            let possible =
                !there(token) && there(left) && there(right) && vocabulary.fit(left, right);
            if !possible {
                continue;
            }
            let made = |half: u32| vocabulary.tokens[half as usize].rank;
            let to_the_right = made(left) > made(right);
            let (later, taken) = if to_the_right {
                (left, right)
            } else {
                (right, left)
            };
            let root = self.root(later);
            let twice = root == self.root(taken);
            self.roots.insert(token, root);
            self.followers.push(Follower {
                token,
                root,
                taken,
                to_the_right,
                twice,
            });
            self.number += 1;
            self.settle(token, (left, right), self.number)?;
            ready.extend(self.take_waiting(token));
        }
        Ok(())
    }

    /// The token, made in its turn, that a token follows; itself if it follows none.
    fn root(&self, token: u32) -> u32 {
        self.roots.get(&token).copied().unwrap_or(token)
    }

    /// What waited for a token, the lowest rank last.
    fn take_waiting(&mut self, token: u32) -> Vec<Late> {
        let waiting = self.waiting.remove(&token).unwrap_or_default();
        let mut late: Vec<Late> = waiting.iter().map(|&i| self.late[i as usize]).collect();
        late.sort_unstable_by_key(|l| core::cmp::Reverse(l.rank));
        late
    }

    /// The followers that may not be made after all other occurrences of their root. In truth each is
    /// made before the root's next occurrence, further right; that is the same unless both want the same
    /// neighbour (the next occurrence itself, or one of its followers), or one follower takes in two
    /// occurrences.
    fn disturbed(&self) -> Vec<u32> {
        let mut wanted: Vec<(u32, u32)> = self
            .followers
            .iter()
            .filter(|f| !f.to_the_right)
            .map(|f| (f.root, f.taken))
            .collect();
        wanted.sort_unstable();
        let is_disturbed = |f: &&Follower| {
            let next_occurrence = self.vocabulary.tokens[f.root as usize].left == f.taken;
            let both = next_occurrence || wanted.binary_search(&(f.root, f.taken)).is_ok();
            f.twice || f.to_the_right && both
        };
        self.followers
            .iter()
            .filter(is_disturbed)
            .map(|f| f.token)
            .collect()
    }

    /// The followers that the general encoder does not make, and those that it makes though they never
    /// got their halves.
    fn disagreeing(&self) -> Vec<u32> {
        let mut agenda = Agenda::default();
        let mut is_made = |token: u32| {
            let text = self.vocabulary.texts.get(token);
            let Some(symbols) = self.base_symbols(text) else {
                return false;
            };
            agenda.run(self.vocabulary, text, symbols);
            agenda.len() == 1
        };
        let followers = self.followers.iter().map(|f| f.token);
        let mut found: Vec<u32> = followers.filter(|&token| !is_made(token)).collect();
        let mut left: Vec<u32> = self.late.iter().map(|l| l.token).collect();
        left.dedup();
        left.retain(|&token| !self.vocabulary.stable[token as usize] && is_made(token));
        found.extend(left);
        found
    }

    /// The base tokens that a text consists of, or `None` if a part of it is none.
    fn base_symbols(&self, text: &[u8]) -> Option<Vec<Symbol>> {
        let vocabulary = &*self.vocabulary;
        let mut symbols = Vec::new();
        let mut at = 0;
        while at < text.len() {
            // Characters in one family of tokenizers, bytes in the other: the shortest that is there.
            let (token, len) = (1..=4.min(text.len() - at)).find_map(|len| {
                let token = vocabulary.by_text.find(&vocabulary.texts, text, at, len);
                let is_base = token != NONE
                    && vocabulary.stable[token as usize]
                    && vocabulary.tokens[token as usize].rank == 0;
                is_base.then_some((token, len))
            })?;
            symbols.push(Symbol::new(at, at + len, token));
            at += len;
        }
        Some(symbols)
    }
}
