// SPDX-License-Identifier: MIT
// Compares two JSON values and lists what has changed.

'use strict';

function kind(value) {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function escapeKey(key) {
  return String(key).replace(/~/g, '~0').replace(/\//g, '~1');
}

function diff(before, after, path = '') {
  const was = kind(before);
  const is = kind(after);
  if (was !== is) return [{ op: 'replace', path, before, after }];
  if (was === 'object') {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].sort().flatMap((key) => {
      const here = `${path}/${escapeKey(key)}`;
      if (!(key in after)) return [{ op: 'remove', path: here, before: before[key] }];
      if (!(key in before)) return [{ op: 'add', path: here, after: after[key] }];
      return diff(before[key], after[key], here);
    });
  }
  if (was === 'array') {
    const changes = [];
    const shared = Math.min(before.length, after.length);
    for (let i = 0; i < shared; i += 1) changes.push(...diff(before[i], after[i], `${path}/${i}`));
    for (let i = before.length - 1; i >= shared; i -= 1) {
      changes.push({ op: 'remove', path: `${path}/${i}`, before: before[i] });
    }
    for (let i = shared; i < after.length; i += 1) {
      changes.push({ op: 'add', path: `${path}/${i}`, after: after[i] });
    }
    return changes;
  }
  return Object.is(before, after) ? [] : [{ op: 'replace', path, before, after }];
}

module.exports = { diff };

if (require.main === module) {
  const was = { name: 'lamp', tags: ['oil', 'brass'], price: 12 };
  const now = { name: 'lamp', tags: ['oil'], price: 14, sold: true };
  for (const change of diff(was, now)) console.log(JSON.stringify(change));
}
