//! Input that nobody meant: what tests give to everything that reads what others wrote.

use serde_json::{Value, json};

/// A small generator of numbers that repeats itself (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap_or(0)
    }

    /// Up to `most` of these pieces, one behind the other.
    pub(crate) fn text(&mut self, pieces: &[&str], most: usize) -> String {
        let count = self.below(most + 1);
        (0..count)
            .map(|_| pieces[self.below(pieces.len())])
            .collect()
    }
}

/// Puts something strange in a random place.
pub(crate) fn damage(value: &mut Value, random: &mut Random) {
    let strange = [
        Value::Null,
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("../../etc"),
        json!("\u{0}\n\u{1b}[2J"),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        json!([[[[]]]]),
        json!(true),
    ];
    match value {
        Value::Object(map) if !map.is_empty() && random.below(8) > 0 => {
            let at = random.below(map.len());
            if let Some(inner) = map.values_mut().nth(at) {
                damage(inner, random);
            }
        }
        Value::Array(list) if !list.is_empty() && random.below(8) > 0 => {
            let at = random.below(list.len());
            damage(&mut list[at], random);
        }
        other => *other = strange[random.below(strange.len())].clone(),
    }
}
