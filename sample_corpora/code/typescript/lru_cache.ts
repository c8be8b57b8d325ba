// SPDX-License-Identifier: Apache-2.0
// A cache that forgets the entry which has gone unused for the longest time.

export interface CacheStatistics {
  hits: number;
  misses: number;
  evictions: number;
}

interface Entry<V> {
  value: V;
  expires: number;
}

export class LruCache<K, V> {
  private readonly entries = new Map<K, Entry<V>>();
  readonly statistics: CacheStatistics = { hits: 0, misses: 0, evictions: 0 };

  constructor(
    private readonly capacity: number,
    private readonly lifetimeMs: number = Infinity,
    private readonly now: () => number = Date.now,
  ) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError(`capacity must be a positive whole number, not ${capacity}`);
    }
  }

  get(key: K): V | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined || entry.expires <= this.now()) {
      this.entries.delete(key);
      this.statistics.misses += 1;
      return undefined;
    }
    // A Map remembers the order of insertion, so putting it back makes it the youngest.
    this.entries.delete(key);
    this.entries.set(key, entry);
    this.statistics.hits += 1;
    return entry.value;
  }

  set(key: K, value: V): void {
    this.entries.delete(key);
    this.entries.set(key, { value, expires: this.now() + this.lifetimeMs });
    if (this.entries.size > this.capacity) {
      const oldest = this.entries.keys().next();
      if (!oldest.done) {
        this.entries.delete(oldest.value);
        this.statistics.evictions += 1;
      }
    }
  }

  async getOrCompute(key: K, compute: (key: K) => Promise<V>): Promise<V> {
    const found = this.get(key);
    if (found !== undefined) return found;
    const value = await compute(key);
    this.set(key, value);
    return value;
  }

  get size(): number {
    return this.entries.size;
  }
}
