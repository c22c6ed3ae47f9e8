//! A map that many hold as it was while others change it. A plain map behind an [`Arc`] would be copied whole by each
//! change that somebody looks on at; of this one only a small part is.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

type Part<K, V> = BTreeMap<K, V>;

/// The map. A clone of it costs next to nothing and stays what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedMap<K, V> {
    /// By the hash of their keys; only those that hold something.
    parts: Arc<BTreeMap<u8, Arc<Part<K, V>>>>,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        SharedMap { parts: Arc::default() }
    }
}

impl<K: Ord + Hash + Clone, V: Clone> SharedMap<K, V> {
    /// What is there for a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.parts.get(&place(key))?.get(key)
    }

    /// Whether there is anything for a key.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts `value` in the place of what was there.
    pub fn insert(&mut self, key: K, value: V) {
        let part = Arc::make_mut(&mut self.parts).entry(place(&key)).or_default();
        Arc::make_mut(part).insert(key, value);
    }

    /// Takes out what was there.
    pub fn remove(&mut self, key: &K) {
        if !self.contains(key) {
            return;
        }
        let parts = Arc::make_mut(&mut self.parts);
        if let Some(part) = parts.get_mut(&place(key)) {
            Arc::make_mut(part).remove(key);
            if part.is_empty() {
                parts.remove(&place(key));
            }
        }
    }

    /// Everything, in the same order for the same keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.values().flat_map(|part| part.iter())
    }
}

impl<K: Ord + Hash + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        let mut map = SharedMap::default();
        all.into_iter().for_each(|(key, value)| map.insert(key, value));
        map
    }
}

fn place(key: &impl Hash) -> u8 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_it_sees_it_as_it_was_and_shares_what_did_not_change() {
        let mut map: SharedMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let before = map.clone();
        map.insert(7, 0);
        map.remove(&8);
        map.remove(&70_000);
        assert_eq!((before.get(&7), before.get(&8), before.iter().count()), (Some(&7), Some(&8), 10_000));
        assert_eq!((map.get(&7), map.contains(&8), map.iter().count()), (Some(&0), false, 9_999));
        let shared = before.parts.iter().filter(|(place, part)| Arc::ptr_eq(part, &map.parts[*place])).count();
        assert!(shared >= 254, "only the two parts that changed were copied: {shared} of 256");
    }

    #[test]
    fn what_was_put_in_and_taken_out_again_leaves_nothing() {
        let mut map = SharedMap::default();
        map.insert("a", 1);
        map.remove(&"a");
        assert_eq!(map, SharedMap::default());
    }
}
