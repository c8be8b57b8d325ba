// SPDX-License-Identifier: Apache-2.0
// Reads durations such as "1h 30m" or "2.5 days" and writes them back for people.

'use strict';

const MILLISECONDS = {
  ms: 1,
  s: 1000,
  m: 60 * 1000,
  h: 60 * 60 * 1000,
  d: 24 * 60 * 60 * 1000,
  w: 7 * 24 * 60 * 60 * 1000,
};

const ALIASES = {
  millisecond: 'ms', second: 's', sec: 's', minute: 'm', min: 'm',
  hour: 'h', hr: 'h', day: 'd', week: 'w',
};

function unitOf(word) {
  const lower = word.toLowerCase();
  if (lower in MILLISECONDS) return lower;
  const singular = lower.endsWith('s') ? lower.slice(0, -1) : lower;
  const unit = ALIASES[singular];
  if (!unit) throw new RangeError(`unknown unit "${word}"`);
  return unit;
}

function parseDuration(text) {
  const pattern = /(\d+(?:\.\d+)?)\s*([a-z]+)/gi;
  let total = 0;
  let consumed = 0;
  for (const match of text.matchAll(pattern)) {
    const between = text.slice(consumed, match.index).trim();
    if (between !== '' && between !== 'and' && between !== ',') {
      throw new SyntaxError(`cannot read "${between}" in "${text}"`);
    }
    total += Number(match[1]) * MILLISECONDS[unitOf(match[2])];
    consumed = match.index + match[0].length;
  }
  if (consumed === 0 || text.slice(consumed).trim() !== '') {
    throw new SyntaxError(`"${text}" is not a duration`);
  }
  return total;
}

function formatDuration(milliseconds) {
  const parts = [];
  let rest = Math.round(milliseconds);
  for (const unit of ['w', 'd', 'h', 'm', 's', 'ms']) {
    const count = Math.floor(rest / MILLISECONDS[unit]);
    if (count > 0) parts.push(`${count}${unit}`);
    rest -= count * MILLISECONDS[unit];
  }
  return parts.join(' ') || '0s';
}

module.exports = { parseDuration, formatDuration };

if (require.main === module) {
  console.log(formatDuration(parseDuration(process.argv[2] || '1h and 90 minutes')));
}
