// SPDX-License-Identifier: MIT
// Collects calls that arrive close together and hands them over as one batch.

'use strict';

class DebounceQueue {
  constructor(flush, { quietMs = 50, maxItems = 100 } = {}) {
    this.flush = flush;
    this.quietMs = quietMs;
    this.maxItems = maxItems;
    this.waiting = [];
    this.timer = null;
  }

  push(item) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (this.waiting.length >= this.maxItems) {
        this.drain();
        return;
      }
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.drain(), this.quietMs);
    });
  }

  async drain() {
    clearTimeout(this.timer);
    const batch = this.waiting;
    this.waiting = [];
    if (batch.length === 0) return;
    try {
      const results = await this.flush(batch.map((entry) => entry.item));
      if (!Array.isArray(results) || results.length !== batch.length) {
        throw new Error(`flush returned ${results && results.length} results for ${batch.length} items`);
      }
      batch.forEach((entry, index) => entry.resolve(results[index]));
    } catch (error) {
      batch.forEach((entry) => entry.reject(error));
    }
  }
}

module.exports = { DebounceQueue };

if (require.main === module) {
  const squares = new DebounceQueue(async (numbers) => {
    console.log('one batch of', numbers.length);
    return numbers.map((n) => n * n);
  });
  Promise.all([1, 2, 3].map((n) => squares.push(n))).then((all) => console.log(all));
}
