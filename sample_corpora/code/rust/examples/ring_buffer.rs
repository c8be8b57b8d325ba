// SPDX-License-Identifier: MIT
//! A queue of fixed capacity that overwrites its oldest entry when it is full.

pub struct RingBuffer<T> {
    slots: Vec<Option<T>>,
    start: usize,
    length: usize,
}

impl<T> RingBuffer<T> {
    /// Panics if the capacity is zero.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a ring needs at least one slot");
        let mut slots = Vec::with_capacity(capacity);
        slots.resize_with(capacity, || None);
        RingBuffer { slots, start: 0, length: 0 }
    }

    /// Adds a value and returns the one that had to make room for it, if any.
    pub fn push(&mut self, value: T) -> Option<T> {
        let capacity = self.slots.len();
        let place = (self.start + self.length) % capacity;
        let evicted = self.slots[place].replace(value);
        if evicted.is_some() {
            self.start = (self.start + 1) % capacity;
        } else {
            self.length += 1;
        }
        evicted
    }

    pub fn pop(&mut self) -> Option<T> {
        let value = self.slots[self.start].take()?;
        self.start = (self.start + 1) % self.slots.len();
        self.length -= 1;
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let capacity = self.slots.len();
        (0..self.length).filter_map(move |i| self.slots[(self.start + i) % capacity].as_ref())
    }

    pub fn len(&self) -> usize {
        self.length
    }
}

fn main() {
    let mut last_three = RingBuffer::new(3);
    for number in 1..=5 {
        if let Some(old) = last_three.push(number * number) {
            println!("{old} fell out");
        }
    }
    let sum: i32 = last_three.iter().sum();
    println!("{} left, sum {}, first {:?}", last_three.len(), sum, last_three.pop());
}
